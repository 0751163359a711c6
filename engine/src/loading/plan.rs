//! Which bytes are needed when.

use super::STREAM_AHEAD;
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
    /// belongs to the first stage. Of the embeddings that tokens have for each layer
    /// only rows are read, so they belong to none otherwise.
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
                (None, "output.weight" | "output.bias") => n_layer,
                (None, "output_norm.weight" | "output_norm.bias" | "token_embd_norm.weight") => {
                    n_layer
                }
                (None, "token_embd.weight" | "per_layer_token_embd.weight") if embedding_first => 0,
                // What else comes before the layers.
                (None, "per_layer_model_proj.weight" | "per_layer_proj_norm.weight") => 0,
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

    /// How many stages from the front are to be read for every pass, so that
    /// the others may stay in memory.
    pub(super) fn streamed(&self, memory_bytes: Option<u64>) -> usize {
        let sizes: Vec<u64> = self.stages.iter().map(Stage::len_bytes).collect();
        // Caches, activations and the rest of the system need some, too.
        streamed(
            &sizes,
            memory_bytes.map_or(u64::MAX, |bytes| bytes / 10 * 9),
        )
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

/// The smallest number of stages from the front, given the bytes of all, such
/// that the stages behind and as many of those in front as are in memory at a
/// time fit. The output stage, which is large, comes last and so stays first.
fn streamed(sizes: &[u64], usable: u64) -> usize {
    let mut behind: u64 = sizes.iter().sum();
    if behind <= usable {
        return 0;
    }
    let mut front = Vec::new();
    for (index, &size) in sizes.iter().enumerate() {
        behind -= size;
        front.push(size);
        front.sort_unstable_by(|a, b| b.cmp(a));
        // The one being computed is among them.
        front.truncate(STREAM_AHEAD + 1);
        if behind + front.iter().sum::<u64>() <= usable {
            return index + 1;
        }
    }
    sizes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_streamed_from_the_front() {
        let layers = [10; 8];
        let with_output = [10, 10, 10, 10, 10, 10, 10, 10, 60];
        let rows: [(&[u64], u64, usize); 8] = [
            (&layers, 80, 0),
            // Three in memory at a time: four are no less than they are.
            (&layers, 79, 4),
            (&layers, 70, 4),
            (&layers, 50, 6),
            (&layers, 30, 8),
            (&layers, 0, 8),
            (&with_output, 100, 7),
            (&with_output, 89, 9),
        ];
        for (sizes, usable, expected) in rows {
            assert_eq!(streamed(sizes, usable), expected, "{sizes:?} in {usable}");
        }
    }
}
