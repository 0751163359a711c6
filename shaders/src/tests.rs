//! Every shader that can be put together is parsed, validated and compared with
//! what the table says of it. No device is needed.

use crate::piece::{self, HeadWidth, Piece, Slot};
use crate::table::{Access, Needs, SHADERS, Shader};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ScalarKind, StorageAccess, TypeInner};

/// Workgroup memory that every WebGPU device has.
const WORKGROUP_BYTES: u32 = 16384;

/// Every way to fill the slots.
fn fillings(slots: &[Slot]) -> Vec<Vec<&'static Piece>> {
    slots.iter().fold(vec![Vec::new()], |partial, &slot| {
        let extend = |pieces: &Vec<&'static Piece>| {
            let pieces = pieces.clone();
            piece::choices(slot)
                .into_iter()
                .map(move |choice| [&pieces[..], &[choice]].concat())
        };
        partial.iter().flat_map(extend).collect()
    })
}

/// Calls `check` with every shader that can be put together.
fn every_shader(check: impl Fn(&Shader, &Module, &str)) {
    for shader in SHADERS {
        for pieces in fillings(shader.slots) {
            let names: Vec<_> = pieces.iter().map(|piece| piece.name()).collect();
            let name = format!("{} with {names:?}", shader.file.name);
            let text = crate::compose(shader.op, &pieces);
            let module = naga::front::wgsl::parse_str(&text)
                .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&text)));
            check(shader, &module, &name);
        }
    }
}

#[test]
fn every_operation_is_at_its_place() {
    for (index, shader) in SHADERS.iter().enumerate() {
        assert_eq!(shader.op as usize, index, "{}", shader.file.name);
    }
}

#[test]
fn every_shader_is_valid() {
    every_shader(|shader, module, name| {
        let units = shader.needs == Needs::MatrixUnits;
        let subgroups = name.contains("/subgroup") || units;
        // unpack2x16float is part of WebGPU, but naga counts it as a capability.
        let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        capabilities.set(Capabilities::SUBGROUP, subgroups);
        let half = shader.needs != Needs::Nothing;
        capabilities.set(Capabilities::SHADER_FLOAT16, half);
        capabilities.set(Capabilities::COOPERATIVE_MATRIX, units);
        Validator::new(ValidationFlags::all(), capabilities)
            .validate(module)
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let entries: Vec<_> = module
            .entry_points
            .iter()
            .map(|entry| &entry.name[..])
            .collect();
        assert_eq!(entries, ["main"], "{name}");
        let overrides: Vec<_> = module
            .overrides
            .iter()
            .filter_map(|(_, constant)| constant.name.as_deref())
            .collect();
        let mut expected = shader.overrides.to_vec();
        expected.sort_unstable();
        let mut found = overrides.clone();
        found.sort_unstable();
        assert_eq!(found, expected, "{name}");
    });
}

#[test]
fn bindings_are_as_the_table_says() {
    every_shader(|shader, module, name| {
        let mut found = Vec::new();
        for (_, variable) in module.global_variables.iter() {
            let Some(binding) = &variable.binding else {
                continue;
            };
            match variable.space {
                AddressSpace::Storage { access } => {
                    assert_eq!(binding.group, 0, "{name}");
                    let access = match access.contains(StorageAccess::STORE) {
                        true => Access::ReadWrite,
                        false => Access::Read,
                    };
                    found.push((
                        binding.binding as usize,
                        variable.name.as_deref().unwrap_or(""),
                        access,
                    ));
                }
                AddressSpace::Uniform => {
                    assert_eq!((binding.group, binding.binding), (1, 0), "{name}")
                }
                other => panic!("{name}: a binding in {other:?}"),
            }
        }
        found.sort_unstable_by_key(|(index, ..)| *index);
        let expected: Vec<_> = shader
            .bindings
            .iter()
            .enumerate()
            .map(|(index, binding)| (index, binding.name, binding.access))
            .collect();
        assert_eq!(found, expected, "{name}");
    });
}

#[test]
fn parameters_are_as_the_table_says() {
    every_shader(|shader, module, name| {
        let (_, ty) = module
            .types
            .iter()
            .find(|(_, ty)| ty.name.as_deref() == Some("Params"))
            .unwrap_or_else(|| panic!("{name} has no parameters"));
        let TypeInner::Struct { members, .. } = &ty.inner else {
            panic!("{name}: {:?}", ty.inner)
        };
        let found: Vec<_> = members
            .iter()
            .map(|member| member.name.as_deref().unwrap_or(""))
            .collect();
        assert_eq!(found, shader.params, "{name}");
        for (index, member) in members.iter().enumerate() {
            assert_eq!(member.offset as usize, 4 * index, "{name}");
            let TypeInner::Scalar(scalar) = module.types[member.ty].inner else {
                panic!("{name}: {:?} is no scalar", member.name)
            };
            assert!(
                matches!(scalar.kind, ScalarKind::Uint | ScalarKind::Float),
                "{name}: {scalar:?}"
            );
        }
    });
}

#[test]
fn workgroup_memory_is_as_the_table_says() {
    every_shader(|shader, module, name| {
        let mut layouter = naga::proc::Layouter::default();
        layouter
            .update(module.to_ctx())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let used: u32 = module
            .global_variables
            .iter()
            .filter(|(_, variable)| variable.space == AddressSpace::WorkGroup)
            .map(|(_, variable)| layouter[variable.ty].size)
            .sum();
        if shader.needs != Needs::MatrixUnits {
            assert!(used <= WORKGROUP_BYTES, "{name}: {used} bytes");
            return;
        }
        let has = |piece: &Piece| name.contains(piece.name());
        let tile = piece::UNIT_TILES.iter().find(|tile| has(&tile.piece));
        let heads = piece::HEAD_WIDTHS.iter().find(|heads| has(&heads.piece));
        let stated = match (tile, heads) {
            (Some(tile), _) => (tile.workgroup_bytes(), tile.lanes()),
            (_, Some(heads)) => (heads.workgroup_bytes(), HeadWidth::LANES),
            (None, None) => panic!("{name} has no tile"),
        };
        let [lanes, ..] = module.entry_points[0].workgroup_size;
        assert_eq!((used, lanes), stated, "{name}");
    });
}

/// The number in `const NAME: u32 = NUMBERu;` or the override's default.
fn constant(text: &str, name: &str) -> Option<u32> {
    let rest = text.split_once(&format!("const {name}: u32 = "))?.1;
    rest.split_once('u')?.0.parse().ok()
}

#[test]
fn tiles_are_as_the_table_says() {
    use crate::table::Workgroup;
    for shader in SHADERS {
        for pieces in fillings(shader.slots) {
            let text = crate::compose(shader.op, &pieces);
            match shader.workgroup {
                Workgroup::Rows(rows) => assert_eq!(constant(&text, "ROWS"), Some(rows)),
                Workgroup::Tile(side) => assert_eq!(constant(&text, "TILE"), Some(side)),
                Workgroup::Elements(lanes) => {
                    let named = constant(&text, "LANES") == Some(lanes);
                    let size = format!("@workgroup_size({lanes})");
                    let counts =
                        text.contains(&size) && text.contains(&format!("* {lanes}u + lane"));
                    assert!(named || counts, "{}", shader.file.name);
                }
                Workgroup::Columns(count) => assert_eq!(constant(&text, "COLUMNS"), Some(count)),
                Workgroup::UnitTile => assert!(shader.slots.contains(&Slot::UnitTile)),
                Workgroup::Row | Workgroup::Piece | Workgroup::Queries => {}
            }
        }
    }
    for (number, piece) in piece::TOKENS {
        assert_eq!(constant(piece.files[0].text, "TOKENS"), Some(*number));
    }
    for tile in piece::UNIT_TILES {
        let text = tile.piece.files[1].text;
        assert_eq!(constant(text, "TILE_ROWS"), Some(tile.rows));
        assert_eq!(constant(text, "TILE_TOKENS"), Some(tile.tokens));
    }
    for heads in piece::HEAD_WIDTHS {
        let text = heads.piece.files[0].text;
        assert_eq!(constant(text, "WIDTH"), Some(heads.width));
    }
    for (number, piece) in piece::QUERIES {
        assert_eq!(constant(piece.files[0].text, "QUERIES"), Some(*number));
    }
}

#[test]
fn every_format_has_a_layout() {
    for (ty, _) in piece::FORMATS {
        assert!(crate::layout_of(*ty).is_some(), "{ty:?}");
    }
}
