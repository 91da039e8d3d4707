//! A report laid out for people: facts, tables, notes. Every table of one report has the same columns,
//! so that it can become one CSV file.

/// A report as people read it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Document {
    /// What it is.
    pub title: String,
    /// What it is about: names and values.
    pub facts: Vec<(String, String)>,
    /// Its tables.
    pub sections: Vec<Section>,
    /// What a reader must know.
    pub notes: Vec<String>,
}

/// A table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// What it shows.
    pub title: String,
    /// Column names, and how wide they are in relation to one another.
    pub columns: Vec<(String, u8)>,
    /// As many cells as there are columns.
    pub rows: Vec<Vec<String>>,
}

pub(crate) fn columns(of: &[(&str, u8)]) -> Vec<(String, u8)> {
    of.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect()
}
