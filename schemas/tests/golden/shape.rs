//! Holds a value against a JSON Schema: field names, variants and basic types.
//!
//! It knows as much of JSON Schema as derived schemas use, and refuses fields
//! that the schema does not name.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A schema, and which of its variants were seen.
pub(crate) struct Shape<'a> {
    root: &'a Value,
    seen: BTreeSet<*const Value>,
}

impl<'a> Shape<'a> {
    pub(crate) fn of(root: &'a Value) -> Self {
        Self { root, seen: BTreeSet::new() }
    }

    /// Checks one value, and remembers the variants that it takes.
    pub(crate) fn check(&mut self, value: &Value) -> Result<(), String> {
        let mut seen = Vec::new();
        self.visit(self.root, value, &mut seen)?;
        self.seen.extend(seen);
        Ok(())
    }

    /// Returns the variants that no checked value took, anywhere in the schema.
    pub(crate) fn unseen(&self) -> Vec<String> {
        let defs = self.root["$defs"].as_object();
        let schemas = defs.into_iter().flat_map(Map::values).chain([self.root]);
        let variants = schemas
            .filter_map(|schema| schema["oneOf"].as_array())
            .flatten();
        variants
            .filter(|variant| !self.seen.contains(&std::ptr::from_ref(*variant)))
            .map(|variant| {
                variant["const"]
                    .as_str()
                    .map_or_else(|| variant["required"].to_string(), str::to_owned)
            })
            .collect()
    }

    fn visit(
        &self,
        schema: &'a Value,
        value: &Value,
        seen: &mut Vec<*const Value>,
    ) -> Result<(), String> {
        if let Some(path) = schema["$ref"].as_str() {
            let target = self.root.pointer(path.trim_start_matches('#'));
            return self.visit(target.ok_or(format!("{path} leads nowhere"))?, value, seen);
        }
        if let Some(variants) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
            return self.one_of(variants, value, seen);
        }
        if schema.get("const").is_some_and(|only| only != value) {
            return Err(format!("{value} should be {}", schema["const"]));
        }
        match value {
            Value::Object(fields) => self.fields(schema, fields, seen)?,
            Value::Array(items) => items
                .iter()
                .try_for_each(|item| self.visit(&schema["items"], item, seen))?,
            _ => {}
        }
        is_a(&schema["type"], value)
    }

    fn one_of(
        &self,
        variants: &'a [Value],
        value: &Value,
        seen: &mut Vec<*const Value>,
    ) -> Result<(), String> {
        for variant in variants {
            let mut within = vec![std::ptr::from_ref(variant)];
            if self.visit(variant, value, &mut within).is_ok() {
                seen.extend(within);
                return Ok(());
            }
        }
        Err(format!("{value} is none of the variants"))
    }

    fn fields(
        &self,
        schema: &'a Value,
        fields: &Map<String, Value>,
        seen: &mut Vec<*const Value>,
    ) -> Result<(), String> {
        let required = schema["required"].as_array().into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                return Err(format!("the field `{name}` is missing"));
            }
        }
        for (name, value) in fields {
            let field = schema["properties"].get(name);
            self.visit(
                field.ok_or(format!("the field `{name}` is unknown"))?,
                value,
                seen,
            )?;
        }
        Ok(())
    }
}

/// Whether a value is of the type, or of one of the types, that a schema names.
fn is_a(types: &Value, value: &Value) -> Result<(), String> {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let named = |name: &Value| name == found;
    if named(types) || types.as_array().is_some_and(|any| any.iter().any(named)) {
        return Ok(());
    }
    Err(format!("{value} should be a {types}"))
}
