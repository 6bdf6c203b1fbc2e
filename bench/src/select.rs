//! Choosing entries of a table by the names given to `--only`.

use crate::Error;

/// The entries of `table` whose names begin with one of `only`; all of them when `only` is empty. A
/// whole name chooses that entry alone, though other names may begin with it.
///
/// # Errors
/// When a name fits no entry: a typing error must not measure nothing.
pub(crate) fn select<T>(
    table: &'static [T],
    name: fn(&T) -> &'static str,
    only: &[String],
) -> Result<Vec<&'static T>, Error> {
    if let Some(unknown) = only.iter().find(|only| !table.iter().any(|t| fits(only, name(t)))) {
        let known: Vec<_> = table.iter().map(name).collect();
        return Err(format!("--only {unknown}: expected one of {}", known.join(", ")).into());
    }
    let is_chosen = |entry: &&T| {
        only.is_empty()
            || only.iter().any(|only| match table.iter().any(|t| name(t) == only) {
                true => name(entry) == only,
                false => fits(only, name(entry)),
            })
    };
    Ok(table.iter().filter(is_chosen).collect())
}

fn fits(only: &str, name: &str) -> bool {
    name.starts_with(only)
}

#[cfg(test)]
mod tests {
    use super::*;

    static NAMES: [&str; 4] = ["flood-100", "flood-1000", "idle", "noise"];

    fn selected(only: &[&str]) -> Option<Vec<&'static str>> {
        let only: Vec<_> = only.iter().map(ToString::to_string).collect();
        Some(select(&NAMES, |name| name, &only).ok()?.into_iter().copied().collect())
    }

    #[test]
    fn entries_are_chosen_by_the_beginning_of_their_names() {
        assert_eq!(selected(&["noise", "flood"]), Some(vec!["flood-100", "flood-1000", "noise"]));
        assert_eq!(selected(&[]), Some(NAMES.to_vec()));
    }

    #[test]
    fn a_whole_name_chooses_one_entry() {
        assert_eq!(selected(&["flood-100"]), Some(vec!["flood-100"]));
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        assert_eq!(selected(&["idle", "floood"]), None);
    }
}
