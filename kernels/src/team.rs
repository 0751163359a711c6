//! The thread team: one rayon broadcast per forward pass, and light-weight
//! operations inside it.
//!
//! A fork and join through a work-stealing pool costs tens of microseconds; a
//! token of a small model has a hundred operations of which many are shorter
//! than that. So the pool's threads are called together once, by
//! [`Team::region`], and stay: the caller's closure runs on one of them (the
//! *leader*) and reads like sequential code, while the others wait for the next
//! operation it opens.
//!
//! ```text
//! leader    ──open──work──close──────open──work──close──   …   end
//! worker 1  ──join──work──leave──spin─join──work──leave─   …   return
//! worker 2  ──(descheduled)───────────────────join──work   …   return
//! ```
//!
//! An operation is a number of units. Each thread takes its own stretch of them
//! one by one, and then what others have left of theirs. A
//! worker joins an operation only while it is open, and the leader, once the
//! units are used up, closes it and waits only for those who joined. So a
//! worker that the operating system has put aside holds nobody up, which is
//! what makes more threads than cores merely useless instead of disastrous.
//! Waiting spins briefly, then yields, then parks.
//!
//! All results are independent of who takes which unit.

use crate::inlined::zip;
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a waiting thread spins before it lets others have its core, where there
/// are any, and how long it then keeps looking before it parks.
///
/// A core that falls asleep takes time to come back, and a virtual one counts as
/// taken away for that time: the system would wake a parked thread on the core of
/// the thread that wakes it, and leave its own idle for milliseconds.
const SPIN: Duration = Duration::from_micros(40);
const YIELD: Duration = Duration::from_millis(2);

/// A number of threads that compute together.
pub struct Team {
    /// `None` for a team of one, which needs no pool.
    pool: Option<rayon::ThreadPool>,
    threads: usize,
    observer: Option<Arc<dyn Observer>>,
}

/// Is told what each thread did when.
pub trait Observer: Send + Sync {
    /// Thread `thread` took part in an operation.
    fn span(&self, label: &'static str, thread: usize, start: Instant, end: Instant);
}

/// The operating system gave no threads.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {threads} threads: {reason}")]
pub struct TeamError {
    threads: usize,
    reason: rayon::ThreadPoolBuildError,
}

impl Team {
    /// Starts a team; `threads` of 0 counts as 1.
    pub fn new(threads: usize) -> Result<Team, TeamError> {
        let threads = threads.max(1);
        let pool = match threads {
            1 => None,
            _ => Some(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .thread_name(|index| format!("compute-{index}"))
                    .build()
                    .map_err(|reason| TeamError { threads, reason })?,
            ),
        };
        Ok(Team {
            pool,
            threads,
            observer: None,
        })
    }

    /// Has all operations from now on reported.
    pub fn observe(&mut self, observer: Arc<dyn Observer>) {
        self.observer = Some(observer);
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Calls the team together, runs `leader` on one of its threads and lets
    /// the others serve the operations it opens.
    ///
    /// # Panics
    ///
    /// With what `leader` or a unit of work panicked with.
    pub fn region<R: Send>(&self, leader: impl FnOnce(&Region<'_>) -> R + Send) -> R {
        let Some(pool) = &self.pool else {
            return self.alone(leader);
        };
        let shared = Shared::default();
        let region = || self.region_of(&shared, self.threads);
        let leader = Mutex::new(Some(leader));
        let results = pool.broadcast(|thread| {
            if thread.index() != 0 {
                shared.serve(thread.index());
                return None;
            }
            let leader = lock(&leader).take().expect("the leader runs once");
            let result = catch_unwind(AssertUnwindSafe(|| leader(&region())));
            // Also when the leader panicked: nobody may wait for ever.
            shared.end();
            Some(result)
        });
        match results
            .into_iter()
            .flatten()
            .next()
            .expect("one thread led")
        {
            Ok(result) => result,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// As [`Team::region`], but all of it on this thread: for what is sooner done
    /// than the others are awake.
    pub fn alone<R>(&self, leader: impl FnOnce(&Region<'_>) -> R) -> R {
        leader(&self.region_of(&Shared::default(), 1))
    }

    fn region_of<'a>(&'a self, shared: &'a Shared, threads: usize) -> Region<'a> {
        Region {
            shared,
            threads,
            observer: self.observer.as_deref(),
            label: Cell::new(""),
        }
    }
}

/// The body of an operation: does units until none is left. The argument is
/// the index of the thread.
type Body<'a> = dyn Fn(usize) + Sync + 'a;

/// What leader and workers share during a region.
#[derive(Default)]
struct Shared {
    state: AtomicU64,
    body: UnsafeCell<Option<*const Body<'static>>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    sleepers: AtomicU32,
    asleep: Mutex<()>,
    wake: Condvar,
}

// SAFETY: `body` is the only field that is not `Sync` by itself. It is written
// by the leader alone, while no operation is open and nobody has joined one
// (`Shared::run`), and read by workers only after joining an open operation
// (`Shared::serve`); `state` orders the two.
unsafe impl Sync for Shared {}

/// `state`: the number of the operation, whether it is open, whether the
/// region has ended, and how many workers have joined.
const JOINED: u64 = 0xffff;
const OPEN: u64 = 1 << 16;
const ENDED: u64 = 1 << 17;
const NUMBER: u64 = 1 << 32;

impl Shared {
    /// Leader: opens an operation, takes part in it, waits for those who
    /// joined.
    fn run(&self, body: &Body<'_>) {
        // SAFETY: the last operation is closed and `JOINED` is zero (this
        // function waited for both), so no worker reads `body` now. The
        // lifetime is extended only until this function returns, and it
        // returns after the last reader has left.
        unsafe {
            *self.body.get() =
                Some(std::mem::transmute::<*const Body<'_>, *const Body<'static>>(body));
        }
        let number = (self.state.load(Relaxed) & !(NUMBER - 1)).wrapping_add(NUMBER);
        self.state.store(number | OPEN, SeqCst);
        self.wake_sleepers();

        let panicked = catch_unwind(AssertUnwindSafe(|| body(0))).err();

        self.state.fetch_and(!OPEN, SeqCst);
        self.wait(|state| state & JOINED == 0);
        let elsewhere = lock(&self.panic).take();
        if let Some(panic) = panicked.or(elsewhere) {
            resume_unwind(panic);
        }
    }

    /// Leader: lets the workers go.
    fn end(&self) {
        self.state.fetch_or(ENDED, SeqCst);
        self.wake_sleepers();
    }

    /// Worker: joins one operation after the other until the region ends.
    fn serve(&self, thread: usize) {
        let mut done = 0;
        loop {
            let state = self.wait(|state| {
                state & ENDED != 0 || (state & OPEN != 0 && state & !(NUMBER - 1) != done)
            });
            if state & ENDED != 0 {
                return;
            }
            // Joins only if the operation is still the one that was seen, and
            // still open.
            if self
                .state
                .compare_exchange(state, state + 1, SeqCst, Relaxed)
                .is_err()
            {
                continue;
            }
            done = state & !(NUMBER - 1);
            // SAFETY: the operation was open when this thread joined, so the
            // leader has set `body` for it and does not return from
            // `Shared::run` before this thread has left.
            let body = unsafe { (*self.body.get()).map(|body| &*body) };
            if let Some(body) = body
                && let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(thread)))
            {
                lock(&self.panic).get_or_insert(panic);
            }
            self.state.fetch_sub(1, SeqCst);
            self.wake_sleepers();
        }
    }

    /// Spins, then parks, until the state is as wanted.
    fn wait(&self, wanted: impl Fn(u64) -> bool) -> u64 {
        let mut spun = 0_u32;
        let mut since = None;
        loop {
            let state = self.state.load(SeqCst);
            if wanted(state) {
                return state;
            }
            std::hint::spin_loop();
            spun += 1;
            if !spun.is_multiple_of(64) {
                continue;
            }
            let waited = since.get_or_insert_with(Instant::now).elapsed();
            if waited < SPIN {
                continue;
            }
            if waited < YIELD {
                std::thread::yield_now();
                continue;
            }
            // Announce, look again, sleep: whoever changes the state
            // afterwards sees the announcement.
            self.sleepers.fetch_add(1, SeqCst);
            let mut guard = lock(&self.asleep);
            while !wanted(self.state.load(SeqCst)) {
                guard = self
                    .wake
                    .wait(guard)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            drop(guard);
            self.sleepers.fetch_sub(1, SeqCst);
        }
    }

    fn wake_sleepers(&self) {
        if self.sleepers.load(SeqCst) > 0 {
            drop(lock(&self.asleep));
            self.wake.notify_all();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A team that has been called together; what operations are written against.
///
/// All its methods hand out disjoint pieces of work, so callers need no
/// `unsafe`.
pub struct Region<'t> {
    shared: &'t Shared,
    threads: usize,
    observer: Option<&'t dyn Observer>,
    label: Cell<&'static str>,
}

impl Region<'_> {
    /// What the operations that follow are called in reports to an
    /// [`Observer`].
    pub fn label(&self, label: &'static str) {
        self.label.set(label);
    }

    /// Number of threads that may take part, the leader included.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Does units `0..units` in any order, each once.
    pub fn for_each(&self, units: usize, body: impl Fn(usize) + Sync) {
        self.each(units, |_, unit| body(unit));
    }

    /// Like [`Region::for_each`], with a scratch space of its own for each
    /// thread: `scratch` holds at least [`Region::threads`] of them.
    pub fn for_each_with<S: Send>(
        &self,
        scratch: &mut [S],
        units: usize,
        body: impl Fn(&mut S, usize) + Sync,
    ) {
        assert!(
            scratch.len() >= self.threads,
            "{} scratch spaces for {} threads",
            scratch.len(),
            self.threads
        );
        let scratch = SharedSlice::new(scratch);
        self.each(units, |thread, unit| {
            // SAFETY: `each` passes a thread's own index, below `threads`
            // (checked above to be in range), and a thread does one unit at a
            // time.
            let own = unsafe { &mut scratch.get(thread..thread + 1)[0] };
            body(own, unit);
        });
    }

    /// Cuts `data` into pieces of `len` (the last may be shorter) and calls
    /// `body` with each piece and its index.
    pub fn chunks_mut<T: Send>(
        &self,
        data: &mut [T],
        len: usize,
        body: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let total = data.len();
        let shared = SharedSlice::new(data);
        self.each(total.div_ceil(len), |_, unit| {
            let start = unit * len;
            // SAFETY: units are distinct, so the ranges do not overlap; they
            // end within `total`.
            body(unit, unsafe { shared.get(start..total.min(start + len)) });
        });
    }

    /// Cuts each matrix of `outs` into tiles of as many rows and columns as
    /// `step` says of its index (those at the edges may be smaller) and calls
    /// `body` with the index of the matrix and each tile. Tiles of one matrix
    /// come column strip by column strip.
    pub fn tiles<S: Send>(
        &self,
        outs: &mut [MatMut<'_>],
        step: impl Fn(usize) -> (usize, usize),
        scratch: &mut [S],
        body: impl Fn(&mut S, usize, TileMut<'_>) + Sync,
    ) {
        assert!(
            scratch.len() >= self.threads,
            "{} scratch spaces for {} threads",
            scratch.len(),
            self.threads
        );
        let mut few = [Target::EMPTY; 4];
        let many: Vec<Target>;
        let count = outs.len();
        let made = outs.iter_mut().enumerate();
        let made = made.map(|(index, out)| Target::new(out, step(index)));
        let targets: &[Target] = if count <= few.len() {
            for (target, made) in zip(few.iter_mut(), made) {
                *target = made;
            }
            &few[..count]
        } else {
            many = made.collect();
            &many
        };
        let units = targets.iter().map(Target::units).sum();
        let scratch = SharedSlice::new(scratch);
        self.each(units, |thread, mut unit| {
            let mut index = 0;
            while unit >= targets[index].units() {
                unit -= targets[index].units();
                index += 1;
            }
            let tile = targets[index].tile(unit);
            // SAFETY: as in `for_each_with`.
            let own = unsafe { &mut scratch.get(thread..thread + 1)[0] };
            body(own, index, tile);
        });
    }

    /// The base of all: every unit once, with the index of the thread.
    fn each(&self, units: usize, body: impl Fn(usize, usize) + Sync) {
        if units <= 1 || self.threads == 1 {
            self.observed(0, || (0..units).for_each(|unit| body(0, unit)));
            return;
        }
        let stretches = Stretches::new(units, self.threads);
        let stop = AtomicBool::new(false);
        let work = |thread| {
            while !stop.load(Relaxed) {
                let Some(unit) = stretches.take(thread) else {
                    return;
                };
                // A panic ends the operation early instead of after the rest
                // of the work.
                let guard = StopOnPanic(&stop);
                body(thread, unit);
                std::mem::forget(guard);
            }
        };
        let (observer, label) = (self.observer, self.label.get());
        self.shared
            .run(&|thread| observed(observer, label, thread, || work(thread)));
    }

    fn observed(&self, thread: usize, work: impl FnOnce()) {
        observed(self.observer, self.label.get(), thread, work);
    }
}

fn observed(
    observer: Option<&dyn Observer>,
    label: &'static str,
    thread: usize,
    work: impl FnOnce(),
) {
    let Some(observer) = observer else {
        return work();
    };
    let start = Instant::now();
    work();
    observer.span(label, thread, start, Instant::now());
}

/// The units of an operation, in one stretch for each thread.
///
/// What a thread reads is then one stream, which the hardware's prefetchers
/// follow. A thread that is done with its own stretch helps with the others.
struct Stretches {
    /// Units.
    units: usize,
    /// How many of `next` are in use.
    count: usize,
    /// The next unit of each stretch.
    next: [Next; Stretches::MAX],
}

/// Threads write their own all the time: no two on a pair of cache lines.
#[repr(align(128))]
struct Next(AtomicUsize);

impl Stretches {
    /// With more threads, some share a stretch.
    const MAX: usize = 16;

    fn new(units: usize, threads: usize) -> Stretches {
        let count = threads.clamp(1, Self::MAX);
        let first = |stretch| Next(AtomicUsize::new(units * stretch / count));
        Stretches {
            units,
            count,
            next: std::array::from_fn(first),
        }
    }

    /// A unit that nobody has taken yet, of the thread's own stretch as long as
    /// there is one.
    fn take(&self, thread: usize) -> Option<usize> {
        (thread..thread + self.count).find_map(|stretch| {
            let stretch = stretch % self.count;
            let end = self.units * (stretch + 1) / self.count;
            let next = &self.next[stretch].0;
            // Not beyond the end each time: only what is there is asked for.
            if next.load(Relaxed) >= end {
                return None;
            }
            let unit = next.fetch_add(1, Relaxed);
            (unit < end).then_some(unit)
        })
    }
}

struct StopOnPanic<'a>(&'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A slice whose disjoint parts are written by different threads.
struct SharedSlice<'a, T> {
    base: *mut T,
    len: usize,
    _data: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: access is through `get`, whose callers promise disjoint ranges; so
// sharing the slice is sending its parts, which `T: Send` allows.
unsafe impl<T: Send> Sync for SharedSlice<'_, T> {}

impl<'a, T> SharedSlice<'a, T> {
    fn new(data: &'a mut [T]) -> Self {
        SharedSlice {
            base: data.as_mut_ptr(),
            len: data.len(),
            _data: std::marker::PhantomData,
        }
    }

    /// # Safety
    ///
    /// No two ranges in use at a time overlap.
    #[allow(clippy::mut_from_ref)] // disjointness is the caller's promise
    unsafe fn get(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: in bounds (asserted) of the slice borrowed for `'a`;
        // exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(range.start), range.len()) }
    }
}

/// A matrix of outputs `[rows, cols]`, rows `stride` values apart.
pub struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    stride: usize,
}

impl<'a> MatMut<'a> {
    /// All of `data` as `rows` rows.
    pub fn new(data: &'a mut [f32], rows: usize) -> MatMut<'a> {
        let cols = data.len().checked_div(rows).unwrap_or(0);
        assert_eq!(
            rows * cols,
            data.len(),
            "{} values are not {rows} rows",
            data.len()
        );
        MatMut {
            data,
            rows,
            cols,
            stride: cols,
        }
    }

    /// The same matrix for a shorter time.
    #[inline]
    pub fn reborrow(&mut self) -> MatMut<'_> {
        MatMut {
            data: self.data,
            ..*self
        }
    }

    /// Number of rows.
    #[inline]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[inline]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Row `index`.
    #[inline]
    pub fn row_mut(&mut self, index: usize) -> &mut [f32] {
        &mut self.data[index * self.stride..][..self.cols]
    }
}

/// A [`MatMut`] taken apart for the threads.
#[derive(Clone, Copy)]
struct Target {
    base: *mut f32,
    rows: usize,
    cols: usize,
    stride: usize,
    /// Rows and columns of a tile.
    step: (usize, usize),
}

impl Target {
    const EMPTY: Target = Target {
        base: std::ptr::null_mut(),
        rows: 0,
        cols: 0,
        stride: 0,
        step: (1, 1),
    };

    fn new(out: &mut MatMut<'_>, step: (usize, usize)) -> Target {
        Target {
            base: out.data.as_mut_ptr(),
            rows: out.rows,
            cols: out.cols,
            stride: out.stride,
            step,
        }
    }

    /// Tiles one below the other.
    fn down(&self) -> usize {
        self.rows.div_ceil(self.step.0)
    }

    /// Tiles.
    fn units(&self) -> usize {
        self.down() * self.cols.div_ceil(self.step.1)
    }

    /// Tile `unit`. Those of distinct units are disjoint.
    fn tile<'a>(&self, unit: usize) -> TileMut<'a> {
        let (row_step, col_step) = self.step;
        let (row, col) = (unit % self.down() * row_step, unit / self.down() * col_step);
        TileMut {
            base: self.base,
            stride: self.stride,
            rows: row..self.rows.min(row + row_step),
            cols: col..self.cols.min(col + col_step),
            _data: std::marker::PhantomData,
        }
    }
}

// SAFETY: a `Target` is only arithmetic on an address until `Region::tiles`
// makes disjoint `TileMut`s of it.
unsafe impl Sync for Target {}

/// A rectangle of a [`MatMut`] that one thread writes.
pub struct TileMut<'a> {
    base: *mut f32,
    stride: usize,
    rows: Range<usize>,
    cols: Range<usize>,
    _data: std::marker::PhantomData<&'a mut [f32]>,
}

impl TileMut<'_> {
    /// The tile that is all of a matrix.
    pub fn whole<'a>(out: &'a mut MatMut<'_>) -> TileMut<'a> {
        TileMut {
            base: out.data.as_mut_ptr(),
            stride: out.stride,
            rows: 0..out.rows,
            cols: 0..out.cols,
            _data: std::marker::PhantomData,
        }
    }

    /// The tile's rows, as numbers in the whole matrix.
    #[inline]
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// The tile's columns, as numbers in the whole matrix.
    #[inline]
    pub fn cols(&self) -> Range<usize> {
        self.cols.clone()
    }

    /// Some of the tile's columns, counted from its first.
    ///
    /// # Panics
    ///
    /// If the tile does not have them.
    #[inline]
    pub fn columns(&mut self, cols: Range<usize>) -> TileMut<'_> {
        assert!(cols.start <= cols.end && cols.end <= self.cols.len());
        let first = self.cols.start;
        TileMut {
            base: self.base,
            stride: self.stride,
            rows: self.rows.clone(),
            cols: first + cols.start..first + cols.end,
            _data: std::marker::PhantomData,
        }
    }

    /// The tile's part of the matrix's row `row`.
    #[inline]
    pub fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(
            self.rows.contains(&row),
            "row {row} of rows {:?}",
            self.rows
        );
        // SAFETY: rows and columns lie within the matrix the tile was cut from
        // (`Region::tiles`, `TileMut::whole`), which is borrowed for the tile's
        // lifetime; tiles do not overlap, and `&mut self` makes this the only
        // row in use.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.base.add(row * self.stride + self.cols.start),
                self.cols.len(),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn teams() -> impl Iterator<Item = Team> {
        (1..=5).map(|threads| Team::new(threads).unwrap())
    }

    #[test]
    fn every_unit_once() {
        for team in teams() {
            team.region(|region| {
                for units in [0, 1, 2, 7, 1000] {
                    let counts: Vec<_> = (0..units).map(|_| AtomicUsize::new(0)).collect();
                    region.for_each(units, |unit| {
                        counts[unit].fetch_add(1, SeqCst);
                    });
                    assert!(counts.iter().all(|count| count.load(SeqCst) == 1));
                }
            });
        }
    }

    #[test]
    fn many_short_operations() {
        for team in teams() {
            let total = team.region(|region| {
                let mut data = vec![0_u64; 64];
                for round in 0..2000 {
                    region.chunks_mut(&mut data, 5, |index, chunk| {
                        chunk
                            .iter_mut()
                            .for_each(|value| *value += round + index as u64);
                    });
                }
                data.iter().sum::<u64>()
            });
            let indices: u64 = (0..64).map(|i| i / 5).sum();
            assert_eq!(total, 64 * (0..2000).sum::<u64>() + 2000 * indices);
        }
    }

    #[test]
    fn tiles_cover_every_matrix_once() {
        for team in teams() {
            let (mut a, mut b) = (vec![0.0; 7 * 33], vec![0.0; 7 * 4]);
            let mut scratch = vec![(); team.threads()];
            let mut outs = [MatMut::new(&mut a, 7), MatMut::new(&mut b, 7)];
            team.region(|region| {
                let step = |index| [(3, 8), (5, 3)][index];
                region.tiles(&mut outs, step, &mut scratch, |_, index, mut tile| {
                    let cols = tile.cols();
                    for row in tile.rows() {
                        for (value, col) in zip(tile.row(row).iter_mut(), cols.clone()) {
                            *value += (1000 * (index + 1) + 100 * row + col) as f32;
                        }
                    }
                });
            });
            for (index, (out, cols)) in [(&a, 33), (&b, 4)].into_iter().enumerate() {
                for (i, value) in out.iter().enumerate() {
                    assert_eq!(
                        *value,
                        (1000 * (index + 1) + 100 * (i / cols) + i % cols) as f32
                    );
                }
            }
        }
    }

    #[test]
    fn panics_come_back_and_hang_nobody() {
        for team in teams() {
            for bad in [0, 3, 99] {
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    team.region(|region| {
                        region.for_each(100, |unit| assert_ne!(unit, bad, "unit"))
                    });
                }));
                assert!(caught.is_err());
            }
            let caught = catch_unwind(AssertUnwindSafe(|| team.region(|_| panic!("leader"))));
            assert!(caught.is_err());
            assert_eq!(team.region(|_| 7), 7);
        }
    }

    #[test]
    fn a_late_worker_is_not_waited_for() {
        // More threads than any machine here has cores, and units that sleep:
        // the others must take what is left.
        let team = Team::new(16).unwrap();
        let slow = AtomicUsize::new(0);
        team.region(|region| {
            for _ in 0..50 {
                region.for_each(4, |unit| {
                    if unit == 0 {
                        std::thread::sleep(Duration::from_micros(200));
                    }
                    slow.fetch_add(1, SeqCst);
                });
            }
        });
        assert_eq!(slow.load(SeqCst), 200);
    }
}
