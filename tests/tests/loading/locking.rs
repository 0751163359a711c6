//! Weights that are to stay in memory.

use super::*;

/// The locked bytes of this process.
#[cfg(target_os = "linux")]
fn locked_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB").parse::<u64>();
    kilobytes.unwrap() * 1024
}

#[cfg(target_os = "linux")]
#[test]
fn locked_weights_stay() {
    let path = golden("llama-untied");
    let load = LoadOptions {
        lock: true,
        ..LoadOptions::default()
    };
    let options = ModelOptions {
        threads: Some(2),
        load,
        ..ModelOptions::default()
    };
    let model = match Model::open(&path, &options) {
        Ok(model) => model,
        Err(error) => {
            assert!(
                error.to_string().contains("this process may lock"),
                "{error}"
            );
            println!("skipped: {error}");
            return;
        }
    };
    let start = Instant::now();
    while locked_bytes() < model.tensor_bytes() && start.elapsed() < Duration::from_secs(60) {
        assert!(model.load_error().is_none(), "{:?}", model.load_error());
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(locked_bytes() >= model.tensor_bytes(), "{}", locked_bytes());
}

/// What has to be read again for every token cannot be kept.
#[test]
fn a_streamed_model_is_not_locked() {
    let path = golden("llama-untied");
    let load = LoadOptions {
        lock: true,
        memory_bytes: Some(1000),
        ..LoadOptions::default()
    };
    let error = try_logits(&path, load).unwrap_err().to_string();
    let bytes = std::fs::metadata(&path).unwrap().len();
    let expected = format!(
        "{}: {bytes} bytes are to be locked in memory, and 1000 are available: do not lock the model",
        path.display()
    );
    assert_eq!(error, expected);
}
