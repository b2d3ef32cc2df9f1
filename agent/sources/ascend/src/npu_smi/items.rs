//! The numbers of one cell: `0`, `NA`, `15 / 15`, `59718/ 65536`.

/// Most numbers of a cell; no version prints more than four.
const MAX_ITEMS: usize = 8;

/// A number, or two with a slash between them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Item<'a> {
    pub(super) first: &'a str,
    pub(super) second: Option<&'a str>,
}

/// The numbers of a cell, on the stack.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Items<'a> {
    items: [Item<'a>; MAX_ITEMS],
    count: usize,
}

impl<'a> Items<'a> {
    /// Splits a cell; `None` if a slash lacks a number beside it, or there are too many numbers.
    pub(super) fn of(cell: &'a str) -> Option<Self> {
        let mut items = Self::default();
        let mut after_slash = false;
        for word in cell.split_whitespace() {
            if word.eq_ignore_ascii_case("n/a") {
                items.push(word, &mut after_slash)?;
                continue;
            }
            for (place, atom) in word.split('/').enumerate() {
                if place > 0 {
                    let open = items.count.checked_sub(1).map(|last| items.items[last])?;
                    if after_slash || open.second.is_some() {
                        return None;
                    }
                    after_slash = true;
                }
                if !atom.is_empty() {
                    items.push(atom, &mut after_slash)?;
                }
            }
        }
        (!after_slash).then_some(items)
    }

    /// Makes the last number malformed.
    pub(super) fn invalidate_last(&mut self) {
        let last = self.count.checked_sub(1).and_then(|last| self.items.get_mut(last));
        if let Some(item) = last {
            *item.second.as_mut().unwrap_or(&mut item.first) = "?";
        }
    }

    pub(super) fn as_slice(&self) -> &[Item<'a>] {
        &self.items[..self.count]
    }

    fn push(&mut self, atom: &'a str, after_slash: &mut bool) -> Option<()> {
        if std::mem::take(after_slash) {
            self.items.get_mut(self.count.checked_sub(1)?)?.second = Some(atom);
        } else {
            *self.items.get_mut(self.count)? = Item {
                first: atom,
                second: None,
            };
            self.count += 1;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(cell: &str) -> Option<Vec<String>> {
        let items = Items::of(cell)?;
        let each = items.as_slice().iter().map(|item| match item.second {
            Some(second) => format!("{}/{second}", item.first),
            None => item.first.to_owned(),
        });
        Some(each.collect())
    }

    #[test]
    fn a_slash_joins_two_numbers_regardless_of_blanks() {
        for cell in [
            "0 59718/ 65536",
            "0   59718 /65536 ",
            "0 59718/65536",
            "0 59718 / 65536",
        ] {
            assert_eq!(split(cell).unwrap(), ["0", "59718/65536"], "{cell}");
        }
        assert_eq!(split("NA  47  0    / 0").unwrap(), ["NA", "47", "0/0"]);
        assert_eq!(split("N/A N/A / 5").unwrap(), ["N/A", "N/A/5"]);
    }

    #[test]
    fn a_slash_without_a_number_beside_it_is_an_error() {
        for cell in ["/ 5", "5 /", "5 / / 6", "1 / 2 / 3", "1 2 3 4 5 6 7 8 9"] {
            assert_eq!(split(cell), None, "{cell}");
        }
    }
}
