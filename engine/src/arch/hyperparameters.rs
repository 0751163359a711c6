//! What a file's metadata say about its model.

use crate::error::ModelError;
use gguf::Metadata;

/// Metadata of one architecture: keys that start with its name, and the checks
/// that every family makes.
pub struct Hyperparameters<'a, 'f> {
    metadata: &'a Metadata<'f>,
    architecture: &'f str,
}

impl<'a, 'f> Hyperparameters<'a, 'f> {
    /// Of the architecture that the file names.
    pub fn new(metadata: &'a Metadata<'f>) -> Result<Self, ModelError> {
        Ok(Hyperparameters {
            metadata,
            architecture: metadata.require_str("general.architecture")?,
        })
    }

    /// The full name of a key.
    pub fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    /// That something holds of the value that was found.
    pub fn expect(
        &self,
        holds: bool,
        name: &str,
        expected: String,
        found: usize,
    ) -> Result<(), ModelError> {
        match holds {
            true => Ok(()),
            false => Err(ModelError::value(&self.key(name), expected, found)),
        }
    }

    /// An integer in `range`, or `None` if the file does not say.
    pub fn optional(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<Option<usize>, ModelError> {
        let key = self.key(name);
        // Some files hold one value per layer; uniform ones mean the same.
        let found = match self.metadata.get(&key) {
            Some(gguf::Value::Array(array)) => {
                self.check_layers(&key, array.len())?;
                let mut values = array.iter().map(|value| value.integer());
                let first = values.next().flatten();
                match first {
                    Some(first) if values.all(|value| value == Some(first)) => {
                        Some(u64::try_from(first).unwrap_or(u64::MAX))
                    }
                    _ => return Err(ModelError::value(&key, "one value for all layers", array)),
                }
            }
            _ => self.metadata.get_u64(&key)?,
        };
        let Some(found) = found else { return Ok(None) };
        match usize::try_from(found) {
            Ok(value) if range.contains(&value) => Ok(Some(value)),
            _ => {
                let expected = format!("{} to {}", range.start(), range.end());
                Err(ModelError::value(&key, expected, found))
            }
        }
    }

    /// That an array has a value for each layer.
    fn check_layers(&self, key: &str, len: usize) -> Result<(), ModelError> {
        let n_layer = self.metadata.require_u64(&self.key("block_count"))?;
        match len as u64 == n_layer {
            true => Ok(()),
            false => Err(ModelError::value(
                key,
                format!("one for each of {n_layer} layers"),
                format!("an array of {len} values"),
            )),
        }
    }

    /// An array of an integer in `range` for each layer.
    pub fn each_layer(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<Vec<usize>, ModelError> {
        let key = self.key(name);
        if self.metadata.get(&key).is_none() {
            // Says that it is missing.
            self.metadata.require_array(&key)?;
        }
        let found = self.integers(name)?;
        self.check_layers(&key, found.len())?;
        let value = |found: u64| match usize::try_from(found) {
            Ok(value) if range.contains(&value) => Ok(value),
            _ => {
                let expected = format!("{} to {} each", range.start(), range.end());
                Err(ModelError::value(&key, expected, found))
            }
        };
        found.into_iter().map(value).collect()
    }

    /// Number of layers that the file has.
    pub(super) fn n_layer(&self) -> Result<usize, ModelError> {
        self.require("block_count", 1..=1024)
    }

    /// An integer in `range` for each layer, which may be one for all, or `None` if the
    /// file does not say.
    pub fn each(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<Option<Vec<usize>>, ModelError> {
        if let Some(gguf::Value::Array(_)) = self.metadata.get(&self.key(name)) {
            return self.each_layer(name, range).map(Some);
        }
        let (found, n_layer) = (self.optional(name, range)?, self.n_layer()?);
        Ok(found.map(|found| vec![found; n_layer]))
    }

    /// The same of a file that must say.
    pub fn require_each(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<Vec<usize>, ModelError> {
        match self.each(name, range.clone())? {
            Some(found) => Ok(found),
            // Says which key is missing.
            None => self.require(name, range).map(|found| vec![found]),
        }
    }

    /// Several integers, or none if the file does not say.
    pub fn integers(&self, name: &str) -> Result<Vec<u64>, ModelError> {
        let key = self.key(name);
        let Some(found) = self.metadata.get(&key) else {
            return Ok(Vec::new());
        };
        let wrong = || ModelError::value(&key, "an array of integers", found);
        let gguf::Value::Array(array) = found else {
            return Err(wrong());
        };
        let number = |value: gguf::Value<'_>| u64::try_from(value.integer()?).ok();
        array
            .iter()
            .map(|value| number(value).ok_or_else(wrong))
            .collect()
    }

    /// An integer in `range`.
    pub fn require(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<usize, ModelError> {
        match self.optional(name, range)? {
            Some(value) => Ok(value),
            // Says which key is missing.
            None => Ok(self.metadata.require_u64(&self.key(name))? as usize),
        }
    }

    /// A float, finite and above zero.
    pub fn positive(&self, name: &str, default: Option<f32>) -> Result<f32, ModelError> {
        match (self.optional_positive(name)?, default) {
            (Some(found), _) => Ok(found),
            (None, Some(default)) => Ok(default),
            // Says which key is missing.
            (None, None) => Ok(self.metadata.require_f32(&self.key(name))?),
        }
    }

    /// A float, finite and above zero, or `None` if the file does not say.
    pub fn optional_positive(&self, name: &str) -> Result<Option<f32>, ModelError> {
        let key = self.key(name);
        match self.metadata.get_f32(&key)? {
            Some(found) if !(found.is_finite() && found > 0.0) => {
                Err(ModelError::value(&key, "a finite number above 0", found))
            }
            found => Ok(found),
        }
    }

    /// The same where 0 is as good as nothing, as some files say it.
    pub fn positive_unless_0(&self, name: &str) -> Result<Option<f32>, ModelError> {
        match self.metadata.get_f32(&self.key(name))? {
            Some(0.0) => Ok(None),
            _ => self.optional_positive(name),
        }
    }

    /// A finite number for each layer, which may be one for all, under a key that does not
    /// begin with the architecture's name.
    pub fn each_number_of(&self, key: &str) -> Result<Vec<f32>, ModelError> {
        let numbers = match self.metadata.get(key) {
            Some(gguf::Value::Array(array)) => {
                self.check_layers(key, array.len())?;
                let wrong = || ModelError::value(key, "an array of f32", array);
                array.f32s().ok_or_else(wrong)?.collect()
            }
            _ => vec![self.metadata.require_f32(key)?; self.n_layer()?],
        };
        match numbers.iter().find(|number| !number.is_finite()) {
            Some(bad) => Err(ModelError::value(key, "finite numbers", bad)),
            None => Ok(numbers),
        }
    }

    /// Yes or no, or `None` if the file does not say.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, ModelError> {
        Ok(self.metadata.get_bool(&self.key(name))?)
    }

    /// Yes or no for each layer, or `None` if the file does not say so.
    pub fn flags(&self, name: &str) -> Result<Option<Vec<bool>>, ModelError> {
        let key = self.key(name);
        let Some(gguf::Value::Array(array)) = self.metadata.get(&key) else {
            return Ok(None);
        };
        self.check_layers(&key, array.len())?;
        // Some files have numbers for it.
        let flag = |value: gguf::Value<'_>| match value.integer() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        };
        let flags = match array.bools() {
            Some(flags) => Some(flags.collect()),
            None => array.iter().map(flag).collect(),
        };
        match flags {
            Some(flags) => Ok(Some(flags)),
            None => Err(ModelError::value(&key, "an array of bool", array)),
        }
    }

    /// Yes or no for each layer, which may be one for all, or `None` if the file does not
    /// say.
    pub fn each_flag(&self, name: &str) -> Result<Option<Vec<bool>>, ModelError> {
        match self.flags(name)? {
            None => {
                let (found, n_layer) = (self.flag(name)?, self.n_layer()?);
                Ok(found.map(|found| vec![found; n_layer]))
            }
            each => Ok(each),
        }
    }

    /// Yes or no for each layer.
    pub fn require_flags(&self, name: &str) -> Result<Vec<bool>, ModelError> {
        match self.flags(name)? {
            Some(flags) => Ok(flags),
            None => {
                // Says which key is missing.
                self.metadata.require_array(&self.key(name))?;
                Ok(Vec::new())
            }
        }
    }

    /// A text, or `None` if the file does not say.
    pub fn text(&self, name: &str) -> Result<Option<&'f str>, ModelError> {
        Ok(self.metadata.get_str(&self.key(name))?)
    }
}
