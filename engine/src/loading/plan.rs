//! Which bytes are needed when.

use crate::mapping::Mapping;
use crate::tensors::Tensors;
use std::ops::Range;
use std::sync::Arc;

/// The weights that are needed together: a layer's, or the output's.
pub struct Stage {
    /// Stretches of files, in file order.
    parts: Vec<(Arc<Mapping>, Range<usize>)>,
}

/// The stages of a model in order of use.
pub struct Plan {
    /// One stage per layer, then the output.
    pub stages: Vec<Stage>,
}

impl Stage {
    fn new(mut parts: Vec<(Arc<Mapping>, Range<usize>)>) -> Stage {
        parts.sort_by_key(|(mapping, range)| (mapping.path().to_owned(), range.start));
        let mut merged: Vec<(Arc<Mapping>, Range<usize>)> = Vec::new();
        for (mapping, range) in parts {
            match merged.last_mut() {
                // The gap between neighbours is padding.
                Some((of, last)) if Arc::ptr_eq(of, &mapping) && range.start <= last.end + 4096 => {
                    last.end = last.end.max(range.end);
                }
                _ => merged.push((mapping, range)),
            }
        }
        Stage { parts: merged }
    }

    /// Bytes of the stage.
    pub fn len_bytes(&self) -> u64 {
        self.parts.iter().map(|(_, range)| range.len() as u64).sum()
    }

    /// The stage in pieces of at most `len` bytes.
    pub(super) fn chunks(&self, len: usize) -> impl Iterator<Item = (&Mapping, Range<usize>)> {
        self.parts.iter().flat_map(move |(mapping, range)| {
            let end = range.end;
            range
                .clone()
                .step_by(len)
                .map(move |start| (&**mapping, start..end.min(start + len)))
        })
    }

    /// Gives the stage's memory back to the system.
    pub(super) fn evict(&self) {
        for (mapping, range) in &self.parts {
            mapping.evict(range.clone());
        }
    }
}

impl Plan {
    /// Layers by the number in their tensors' names; the output is its matrix
    /// or, if it is tied, the embedding. With `embedding_first` the embedding
    /// belongs to the first stage.
    pub fn new(tensors: &Tensors, n_layer: usize, embedding_first: bool) -> Plan {
        let mut parts: Vec<Vec<_>> = (0..=n_layer).map(|_| Vec::new()).collect();
        let tied = tensors.get("output.weight").is_none();
        for (name, tensor) in tensors.iter() {
            let layer = name
                .strip_prefix("blk.")
                .and_then(|rest| rest.split_once('.'))
                .and_then(|(number, _)| number.parse::<usize>().ok())
                .filter(|&number| number < n_layer);
            let stage = match (layer, name) {
                (Some(layer), _) => layer,
                (None, "output.weight" | "output_norm.weight") => n_layer,
                (None, "token_embd.weight") if embedding_first => 0,
                (None, "token_embd.weight") if tied => n_layer,
                _ => continue,
            };
            parts[stage].push((tensor.bytes.mapping().clone(), tensor.bytes.range()));
        }
        Plan {
            stages: parts.into_iter().map(Stage::new).collect(),
        }
    }

    /// Bytes of all stages.
    pub fn len_bytes(&self) -> u64 {
        self.stages.iter().map(Stage::len_bytes).sum()
    }

    /// How many stages from the front may stay in memory so that the others,
    /// three at a time, fit beside them.
    pub(super) fn resident(&self, memory_bytes: Option<u64>) -> usize {
        let stages = self.stages.len();
        let Some(memory_bytes) = memory_bytes else {
            return stages;
        };
        // Caches, activations and the rest of the system need some, too.
        let usable = memory_bytes / 10 * 9;
        if self.len_bytes() <= usable {
            return stages;
        }
        let largest = self.stages.iter().map(Stage::len_bytes).max().unwrap_or(0);
        let mut left = usable.saturating_sub(3 * largest);
        let fits = |stage: &&Stage| {
            let fits = stage.len_bytes() <= left;
            left = left.saturating_sub(stage.len_bytes());
            fits
        };
        self.stages.iter().take_while(fits).count()
    }

    /// The files.
    pub(super) fn mappings(&self) -> Vec<Arc<Mapping>> {
        let mut mappings: Vec<Arc<Mapping>> = Vec::new();
        for (mapping, _) in self.stages.iter().flat_map(|stage| &stage.parts) {
            if !mappings.iter().any(|have| Arc::ptr_eq(have, mapping)) {
                mappings.push(mapping.clone());
            }
        }
        mappings
    }
}
