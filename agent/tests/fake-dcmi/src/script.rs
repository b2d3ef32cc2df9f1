//! The script that defines the library's answers.

use std::ffi::c_int;
use std::path::{Path, PathBuf};

/// The script's lines in words.
pub(crate) struct Script {
    path: PathBuf,
    lines: Vec<Vec<String>>,
}

impl Script {
    pub(crate) fn read() -> Self {
        let path = path();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
        Self {
            path,
            lines: text.lines().map(words).collect(),
        }
    }

    /// The rest of each line that starts with these words.
    fn after<'a>(&'a self, begin: &'a [&'a str]) -> impl Iterator<Item = &'a [String]> {
        self.lines.iter().filter_map(move |line| {
            let fits =
                line.len() >= begin.len() && line.iter().zip(begin).all(|(word, want)| word == want || word == "*");
            fits.then(|| &line[begin.len()..])
        })
    }

    pub(crate) fn is_950(&self) -> bool {
        self.after(&["devices"]).next().is_some()
    }

    /// Cards and how many chips each has.
    pub(crate) fn cards(&self) -> Vec<(c_int, c_int)> {
        let words = self.after(&["cards"]).flatten();
        words
            .filter_map(|word| {
                let (card, chips) = word.split_once(':')?;
                Some((card.parse().ok()?, chips.parse().ok()?))
            })
            .collect()
    }

    pub(crate) fn devices(&self) -> Vec<c_int> {
        let words = self.after(&["devices"]).flatten();
        words.filter_map(|word| word.parse().ok()).collect()
    }

    /// Hangs, crashes and prints.
    pub(crate) fn act(&self, function: &str, address: &str) {
        for rest in self.after(&["print", function, address]) {
            println!("{}", rest.join(" "));
        }
        if self.after(&["crash", function, address]).next().is_some() {
            eprintln!("fake libdcmi: {function} crashes");
            std::process::abort();
        }
        for rest in self.after(&["hang", function, address]) {
            let done = PathBuf::from(format!("{}.hung", self.path.display()));
            let once = rest.first().is_some_and(|word| word == "once");
            if once && std::fs::File::create_new(&done).is_err() {
                continue;
            }
            loop {
                std::thread::park();
            }
        }
    }

    pub(crate) fn code(&self, function: &str, address: &str) -> Option<c_int> {
        self.numbers(&["fail", function, address]).map(|code| code[0] as c_int)
    }

    /// The numbers of a `value`.
    pub(crate) fn values(&self, function: &str, address: &str, kind: Option<c_int>) -> Option<Vec<i64>> {
        let kind = kind.map_or("-".to_owned(), |kind| kind.to_string());
        self.numbers(&["value", function, address, &kind])
    }

    pub(crate) fn growth(&self, function: &str, address: &str) -> usize {
        self.numbers(&["grow", function, address])
            .map_or(0, |bytes| bytes[0] as usize)
    }

    pub(crate) fn processes(&self, address: &str) -> Vec<(i64, i64)> {
        let begin = ["processes", address];
        let words = self.after(&begin).flatten();
        words
            .filter_map(|word| {
                let (pid, bytes) = word.split_once(':')?;
                Some((pid.parse().ok()?, bytes.parse().ok()?))
            })
            .collect()
    }

    fn numbers(&self, begin: &[&str]) -> Option<Vec<i64>> {
        let rest = self.after(begin).next()?;
        let numbers: Vec<i64> = rest.iter().filter_map(|word| word.parse().ok()).collect();
        (!numbers.is_empty()).then_some(numbers)
    }
}

/// Path of the script: beside the library, wherever it was copied to.
fn path() -> PathBuf {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let files = maps.lines().filter_map(|line| Some(&line[line.find('/')?..]));
    let is_ours = |path: &&str| Path::new(path).file_name().is_some_and(|name| name == "libdcmi.so");
    let library = files.into_iter().find(is_ours).unwrap_or_default();
    PathBuf::from(format!("{library}.script"))
}
