//! A file of `/proc` that is kept open.

use towline_host::ProcFile;

#[test]
fn a_file_is_read_anew_each_time() {
    let file = ProcFile::open("/proc/self/stat");
    let (first, second) = (file.text(), file.text());
    assert!(!first.is_empty());
    let id = |text: &str| text.split(' ').next().map(str::to_owned);
    assert_eq!(id(&first), id(&second));
}

#[test]
fn a_file_that_is_not_there_reads_as_empty() {
    assert_eq!(ProcFile::open("/proc/no-such-file").text(), "");
}
