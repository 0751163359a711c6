//! Where a GPU's time went.

use crate::measure::Measured;
use crate::results::{Form, rows_as};
use std::io::Write;
use std::time::Duration;

/// The least share of a test's time that is listed.
const LEAST_SHARE: f64 = 0.002;

/// Prints what was measured of each test.
pub fn print<'a>(
    form: Form,
    measured: impl Iterator<Item = &'a Measured>,
    out: &mut impl Write,
) -> std::io::Result<()> {
    for Measured {
        test,
        seconds,
        profile,
        ..
    } in measured
    {
        let Some(profile) = profile else { continue };
        let total: Duration = profile.times.iter().map(|each| each.time).sum();
        let submissions = profile.submissions as f64;
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3 / submissions;
        writeln!(
            out,
            "\n{test}: for each of {} submissions {:.3} ms; {:.3} ms on the device, {:.3} ms of encoding before that",
            profile.submissions,
            seconds.iter().sum::<f64>() * 1e3 / submissions,
            milliseconds(total),
            milliseconds(profile.encoding),
        )?;
        let columns = [
            "operation",
            "workgroups",
            "count",
            "us each",
            "ms",
            "%",
            "GB/s",
            "TOP/s",
        ];
        let mut rows = Vec::new();
        for each in &profile.times {
            let share = each.time.as_secs_f64() / total.as_secs_f64();
            if share < LEAST_SHARE {
                continue;
            }
            let rate = |count: u64| match count {
                0 => 0.0,
                _ => count as f64 / each.time.as_secs_f64(),
            };
            let [x, y, z] = each.workgroups;
            rows.push(vec![
                each.kernel.clone(),
                format!("{x} x {y} x {z}"),
                format!("{:.1}", each.dispatches as f64 / submissions),
                format!(
                    "{:.2}",
                    each.time.as_secs_f64() * 1e6 / each.dispatches as f64
                ),
                format!("{:.3}", milliseconds(each.time)),
                format!("{:.1}", 100.0 * share),
                format!("{:.0}", rate(each.bytes) / 1e9),
                format!("{:.2}", 2.0 * rate(each.multiplications) / 1e12),
            ]);
        }
        rows_as(form, &columns, &[0], &rows, out)?;
    }
    Ok(())
}
