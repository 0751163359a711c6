//! What went wrong, kept until somebody asks.

use super::GpuError;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The first thing that went wrong since somebody has asked; or that the device
/// was lost, which explains everything else and does not pass.
#[derive(Default)]
pub(super) struct Fault(Mutex<Option<GpuError>>);

impl Fault {
    /// Notes that something went wrong.
    pub fn note(&self, error: GpuError) {
        let is_lost = |error: &GpuError| matches!(error, GpuError::Lost { .. });
        let mut noted = self.lock();
        if !noted
            .as_ref()
            .is_some_and(|noted| is_lost(noted) || !is_lost(&error))
        {
            *noted = Some(error);
        }
    }

    /// What went wrong, if anything did.
    pub fn ask(&self) -> Result<(), GpuError> {
        let mut noted = self.lock();
        let error = match &*noted {
            Some(lost @ GpuError::Lost { .. }) => Some(lost.clone()),
            _ => noted.take(),
        };
        error.map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, Option<GpuError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(reason: &str) -> GpuError {
        GpuError::Failed {
            adapter: "one".to_owned(),
            reason: reason.to_owned(),
        }
    }

    fn lost() -> GpuError {
        GpuError::Lost {
            adapter: "one".to_owned(),
            reason: "unplugged".to_owned(),
        }
    }

    #[test]
    fn the_first_thing_is_told_once() {
        let fault = Fault::default();
        assert_eq!(fault.ask(), Ok(()));
        fault.note(failed("first"));
        fault.note(failed("second"));
        assert_eq!(fault.ask(), Err(failed("first")));
        assert_eq!(fault.ask(), Ok(()));
    }

    #[test]
    fn a_lost_device_stays_lost() {
        let fault = Fault::default();
        fault.note(failed("a consequence"));
        fault.note(lost());
        fault.note(failed("another"));
        for _ in 0..2 {
            assert_eq!(fault.ask(), Err(lost()));
        }
    }
}
