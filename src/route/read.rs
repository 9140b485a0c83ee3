//! Tables as they are written down.

use super::{Route, RouteError, RouteTable};
use serde::Deserialize;
use std::{fs, path::Path};

/// A table in a file: one that says nothing of routes is a mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    version: u64,
    route: Option<Vec<Route>>,
}

impl RouteTable {
    /// Reads a table from TOML.
    ///
    /// # Examples
    ///
    /// ```
    /// use callboard::RouteTable;
    ///
    /// let table = RouteTable::from_toml(
    ///     r#"
    ///     [[route]]
    ///     to = "payments"
    ///     spread = "least-in-flight"
    ///     eject = { failures = 7, base = "30s" }
    ///     "#,
    /// )?;
    /// # assert_eq!(table.routes.len(), 1);
    /// # Ok::<(), callboard::route::RouteError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`RouteError`] with what is wrong, where, and what would be right; one
    /// without any `route` is wrong, too, unless it says `route = []`.
    pub fn from_toml(text: &str) -> Result<Self, RouteError> {
        let written = toml::from_str(text);
        written
            .map_err(|error| RouteError::Format { reason: error.to_string().trim().to_owned() })
            .and_then(Written::checked)
    }

    /// Reads a table from JSON.
    ///
    /// # Errors
    ///
    /// Returns [`RouteError`] as [`from_toml`](Self::from_toml) does.
    pub fn from_json(text: &str) -> Result<Self, RouteError> {
        let written = serde_json::from_str(text);
        written
            .map_err(|error| RouteError::Format { reason: error.to_string() })
            .and_then(Written::checked)
    }

    /// Reads a table from a file, which is TOML, or JSON if it begins with a brace.
    ///
    /// # Errors
    ///
    /// Returns [`RouteError`] as [`from_toml`](Self::from_toml) does, and if the file
    /// cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, RouteError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| RouteError::Unreadable {
            path: name.clone(),
            reason: error.to_string(),
        })?;
        Self::read(&text).map_err(|error| RouteError::File { path: name, error: Box::new(error) })
    }

    /// Reads a table that is TOML or JSON.
    pub(crate) fn read(text: &str) -> Result<Self, RouteError> {
        let text = text.trim_start_matches('\u{FEFF}');
        // No TOML begins so.
        if text.trim_start().starts_with('{') {
            Self::from_json(text)
        } else {
            Self::from_toml(text)
        }
    }
}

impl Written {
    fn checked(self) -> Result<RouteTable, RouteError> {
        let Self { version, route } = self;
        let table = RouteTable { version, routes: route.ok_or(RouteError::Empty)? };
        table.check()?;
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::{RouteError, RouteTable};

    #[test]
    fn toml_and_json_are_told_apart_by_looking() {
        let toml = "version = 4\n[[route]]\nto = \"till\"\n";
        let table = RouteTable::read(toml).expect("a table");
        let json = serde_json::to_string_pretty(&table).expect("it is written");
        assert_eq!(RouteTable::read(&format!("\u{FEFF} {json}")), Ok(table));
    }

    #[test]
    fn a_table_says_on_purpose_that_it_has_no_routes() {
        for text in ["", "# to do\n", "version = 3", "{}", r#"{"version": 3}"#] {
            assert_eq!(RouteTable::read(text), Err(RouteError::Empty), "{text}");
        }
        let none = serde_json::to_string(&RouteTable::default()).expect("it is written");
        for text in ["route = []", &none] {
            assert_eq!(RouteTable::read(text), Ok(RouteTable::default()), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_name() {
        let missing = RouteTable::from_file("/nowhere/routes.toml");
        assert!(matches!(missing, Err(RouteError::Unreadable { .. })));
        let path = std::env::temp_dir().join(format!("callboard-routes-{}", std::process::id()));
        std::fs::write(&path, "[[route]]\nto = \"a.b.c\"").expect("a place for a file");
        let flawed = RouteTable::from_file(&path).map_err(|error| error.to_string());
        std::fs::remove_file(&path).expect("it is there");
        let reason = flawed.expect_err("it is flawed");
        assert!(
            reason.contains("callboard-routes-") && reason.contains("neither a domain"),
            "{reason}"
        );
    }

    #[test]
    fn a_rule_that_can_never_fit_is_refused() {
        let rules = |rules: &str| {
            RouteTable::read(&format!(
                r#"{{"route": [{{"to": "till", "rule": [{rules}]}}]}}"#
            ))
        };
        let all = r#"{"versions": {"^1": 1}}"#;
        let some = r#"{"header": "x-canary", "versions": {"^2": 1}}"#;
        assert!(rules(&format!("{some}, {all}")).is_ok());
        for after in [all, some] {
            let found = rules(&format!("{all}, {after}"));
            assert!(
                matches!(found, Err(RouteError::Unreached { .. })),
                "{found:?}"
            );
        }
        for name in ["", "x canary", "x:canary", "x\\ncanary", "x-grün"] {
            let found = rules(&some.replace("x-canary", name));
            assert!(matches!(found, Err(RouteError::Header { .. })), "{found:?}");
        }
    }
}
