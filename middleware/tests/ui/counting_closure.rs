//! A closure that counts in a variable of its own would count for each clone of it alone.
use towline_middleware::each_line;

fn main() {
    let mut count = 0;
    let _ = each_line(move |_, out| {
        count += 1;
        out.line(count.to_string());
    });
}
