//! Peak memory of this process, anonymous and file-backed apart.
//!
//! Linux counts the peak itself (`VmHWM`, and lets it be reset), but only of
//! both kinds together; each kind's peak is that of samples, taken when a test
//! holds the most: while its caches and buffers exist. Other systems say
//! nothing.

/// Highest figures seen, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// All resident memory.
    pub rss: Option<u64>,
    /// Caches, buffers and everything else this process made.
    pub anonymous: Option<u64>,
    /// Weights and programs: evictable, shared with other processes.
    pub file_backed: Option<u64>,
}

impl Peak {
    /// Forgets the peak so far; the next one begins here.
    pub fn begin() -> Peak {
        if cfg!(target_os = "linux") {
            // May be forbidden; then the peak is that of the whole run.
            let _ = std::fs::write("/proc/self/clear_refs", "5");
        }
        let mut peak = Peak::default();
        peak.sample();
        peak
    }

    /// Looks at the memory in use now.
    pub fn sample(&mut self) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let now = parse(&status);
        self.rss = self.rss.max(now.rss);
        self.anonymous = self.anonymous.max(now.anonymous);
        self.file_backed = self.file_backed.max(now.file_backed);
    }
}

fn parse(status: &str) -> Peak {
    let bytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        let number = line.strip_prefix(':')?.trim().strip_suffix("kB")?;
        Some(number.trim().parse::<u64>().ok()? * 1024)
    };
    // Files in memory-backed folders count as shared memory.
    let shared = bytes("RssShmem").unwrap_or(0);
    Peak {
        rss: bytes("VmHWM"),
        anonymous: bytes("RssAnon"),
        file_backed: bytes("RssFile").map(|file| file + shared),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_status() {
        let status = "Name:\tbench\nVmHWM:\t  3000 kB\nRssAnon:\t    1000 kB\nRssFile:\t  1500 kB\nRssShmem:\t    4 kB\n";
        let expected = Peak {
            rss: Some(3000 << 10),
            anonymous: Some(1000 << 10),
            file_backed: Some(1504 << 10),
        };
        assert_eq!(parse(status), expected);
        assert_eq!(parse("Name:\tbench\n"), Peak::default());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn sees_what_is_allocated() {
        let mut peak = Peak::begin();
        let before = peak.anonymous.unwrap();
        let held = std::hint::black_box(vec![1_u8; 64 << 20]);
        peak.sample();
        drop(held);
        assert!(peak.anonymous.unwrap() >= before + (60 << 20), "{peak:?}");
        assert!(peak.rss >= peak.anonymous);
    }
}
