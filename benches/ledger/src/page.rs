//! Putting the ledger's section into a page: every other section stays as it is, byte for byte.

/// The section's heading.
pub(crate) const HEADING: &str = "## The ledger";

/// The page with this section instead of the one it has, or at its end.
pub fn put(page: &str, section: &str) -> String {
    let (mut before, mut after) = (String::new(), String::new());
    let (mut is_own, mut is_past, mut in_code) = (false, false, false);
    for line in page.split_inclusive('\n') {
        in_code ^= line.starts_with("```");
        if line.starts_with("## ") && !in_code {
            is_past |= is_own;
            is_own = line.trim_end() == HEADING;
        }
        if is_past && !is_own {
            after.push_str(line);
        } else if !is_own {
            before.push_str(line);
        }
    }
    let gap = |text: &str| if text.is_empty() || text.ends_with("\n\n") { "" } else { "\n" };
    let own = section.trim_end();
    let end = if after.is_empty() { "\n" } else { "\n\n" };
    format!("{before}{}{own}{end}{after}", gap(&before))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "## The ledger\n\nnew\n";

    #[test]
    fn the_section_takes_the_old_ones_place_and_touches_nothing_else() {
        let page = "# P\n\n## A\n\na\n\n## The ledger\n\nold\n\n### old too\n\n## Z\n\n```sh\n## The ledger\n```\n";
        let after =
            "# P\n\n## A\n\na\n\n## The ledger\n\nnew\n\n## Z\n\n```sh\n## The ledger\n```\n";
        assert_eq!(put(page, NEW), after);
        assert_eq!(put(after, NEW), after);
    }

    #[test]
    fn a_page_without_the_section_gets_it_at_its_end() {
        assert_eq!(put("# P\n\n## A\n", NEW), "# P\n\n## A\n\n## The ledger\n\nnew\n");
        assert_eq!(put("", NEW), NEW);
    }

    #[test]
    fn a_page_that_ends_with_the_section_keeps_what_stands_before_it() {
        let page = "# P\n\n## A\n\n## The ledger\n\nold\n";
        assert_eq!(put(page, NEW), "# P\n\n## A\n\n## The ledger\n\nnew\n");
    }
}
