//! What the machine offers to this process.

/// Physical cores that this process may use: simultaneous threads of one core
/// share its arithmetic units, so more would only get in each other's way.
pub fn cores() -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    allowed.min(num_cpus::get_physical()).max(1)
}

/// Bytes of memory that could be taken now without swapping, the limit of a
/// control group included; `None` where the system does not say.
pub fn available_memory() -> Option<u64> {
    let machine = parse_meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
    let number = |path: &str| {
        std::fs::read_to_string(path)
            .ok()?
            .trim()
            .parse::<u64>()
            .ok()
    };
    let group = number("/sys/fs/cgroup/memory.max").map(|max| {
        // What the group holds in file cache can be taken back.
        let used = number("/sys/fs/cgroup/memory.current").unwrap_or(0);
        let stat = std::fs::read_to_string("/sys/fs/cgroup/memory.stat").unwrap_or_default();
        let file = stat
            .lines()
            .find_map(|line| line.strip_prefix("file ")?.parse::<u64>().ok());
        max.saturating_sub(used.saturating_sub(file.unwrap_or(0)))
    });
    Some(group.map_or(machine, |group| machine.min(group)))
}

fn parse_meminfo(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_meminfo() {
        let text = "MemTotal:       24689212 kB\nMemAvailable:   24012345 kB\nBuffers: 1 kB\n";
        assert_eq!(parse_meminfo(text), Some(24_012_345 * 1024));
        assert_eq!(parse_meminfo("MemTotal: 1 kB\n"), None);
        assert_eq!(parse_meminfo("MemAvailable: many kB\n"), None);
    }

    #[test]
    fn there_is_at_least_one_core() {
        assert!(cores() >= 1);
    }
}
