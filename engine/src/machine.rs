//! What the machine offers to this process.

use std::path::Path;

/// Physical cores that this process may use: simultaneous threads of one core
/// share its arithmetic units, so more would only get in each other's way.
pub fn cores() -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    allowed.min(num_cpus::get_physical()).max(1)
}

/// Bytes of memory that could be taken now without swapping, limits of control
/// groups included; `None` where the system does not say.
pub fn available_memory() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo")?;
    let available = parse_meminfo(&machine, "MemAvailable:")?;
    let total = parse_meminfo(&machine, "MemTotal:").unwrap_or(u64::MAX);
    let groups = read("/proc/self/cgroup");
    let groups = groups.and_then(|groups| left_in_groups(&groups, total, &read));
    Some(groups.map_or(available, |groups| available.min(groups)))
}

/// A hierarchy of control groups (Linux, "Control Group v2" and "Memory
/// Resource Controller").
struct Hierarchy {
    root: &'static str,
    limit: &'static str,
    used: &'static str,
    /// What the line of the file cache in `memory.stat` begins with.
    cached: &'static str,
}

const VERSION_1: Hierarchy = Hierarchy {
    root: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    cached: "total_cache ",
};

const VERSION_2: Hierarchy = Hierarchy {
    root: "/sys/fs/cgroup",
    limit: "memory.max",
    used: "memory.current",
    cached: "file ",
};

/// Bytes that the tightest of a process's groups leaves, given its list of
/// groups (`/proc/self/cgroup`) and the bytes of the machine.
fn left_in_groups(groups: &str, total: u64, read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let number = |path: String| read(&path)?.trim().parse::<u64>().ok();
    groups
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            match controllers {
                "" => Some((VERSION_2, path)),
                _ if controllers.split(',').any(|name| name == "memory") => Some((VERSION_1, path)),
                _ => None,
            }
        })
        .flat_map(|(hierarchy, path)| {
            // A limit holds for all groups inside. In a container the path may
            // lead nowhere, and the root is the container's own group.
            let parents = Path::new(path).ancestors();
            let folders: Vec<_> = parents
                .map(|path| format!("{}{}", hierarchy.root, path.display()))
                .collect();
            folders.into_iter().filter_map(move |folder| {
                let folder = folder.trim_end_matches('/');
                let limit = number(format!("{folder}/{}", hierarchy.limit))?;
                if limit >= total {
                    // No limit: adding up what it uses would take the system
                    // milliseconds.
                    return None;
                }
                let used = number(format!("{folder}/{}", hierarchy.used)).unwrap_or(0);
                // What the group holds in file cache can be taken back.
                let stat = read(&format!("{folder}/memory.stat")).unwrap_or_default();
                let cached = stat
                    .lines()
                    .find_map(|line| line.strip_prefix(hierarchy.cached)?.parse::<u64>().ok());
                Some(limit.saturating_sub(used.saturating_sub(cached.unwrap_or(0))))
            })
        })
        .min()
}

fn parse_meminfo(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_meminfo() {
        let text = "MemTotal:       24689212 kB\nMemAvailable:   24012345 kB\nBuffers: 1 kB\n";
        let available = |text| parse_meminfo(text, "MemAvailable:");
        assert_eq!(available(text), Some(24_012_345 * 1024));
        assert_eq!(parse_meminfo(text, "MemTotal:"), Some(24_689_212 * 1024));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
        assert_eq!(available("MemAvailable: many kB\n"), None);
    }

    #[test]
    fn the_tightest_group_decides() {
        let files = [
            ("/sys/fs/cgroup/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/memory.max", "1000\n"),
            ("/sys/fs/cgroup/a/memory.current", "700\n"),
            ("/sys/fs/cgroup/a/memory.stat", "anon 200\nfile 500\n"),
            ("/sys/fs/cgroup/a/b/memory.max", "900\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "600"),
            ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "50"),
            (
                "/sys/fs/cgroup/memory/memory.stat",
                "cache 7\ntotal_cache 30\n",
            ),
        ];
        let read = |path: &str| {
            let file = files.iter().find(|(name, _)| *name == path)?;
            Some(file.1.to_owned())
        };
        let rows = [
            ("0::/a\n", Some(800)),
            ("0::/a/b\n", Some(800)),
            ("0::/\n", None),
            // Version 1; in a container, whose path leads nowhere from inside.
            ("3:cpu,cpuacct:/\n4:memory:/docker/1234\n0::/\n", Some(580)),
            ("4:memory:/\n0::/a\n", Some(580)),
            ("", None),
            ("nonsense\n:\n", None),
        ];
        for (groups, left) in rows {
            assert_eq!(left_in_groups(groups, 2000, &read), left, "{groups:?}");
        }
        // What is no limit on this machine is not asked for more.
        let tighter = |path: &str| {
            let is_limit = !path.starts_with("/sys/fs/cgroup/a") || path.ends_with("max");
            assert!(is_limit, "{path}");
            read(path)
        };
        assert_eq!(left_in_groups("0::/a/b\n", 900, &tighter), None);
    }

    #[test]
    fn there_is_at_least_one_core() {
        assert!(cores() >= 1);
    }
}
