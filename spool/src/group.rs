//! Group commit: of the threads that want to write at the same time one becomes the leader and writes for all that wait; one sync
//! serves them all. While it syncs, the next group gathers.

use std::collections::{HashMap, VecDeque};

use parking_lot::{Condvar, Mutex};

/// Hands requests of `T` from many threads in groups to one of them; each gets its own answer `A`.
pub(crate) struct Group<T, A> {
    state: Mutex<State<T, A>>,
    changed: Condvar,
}

struct State<T, A> {
    waiting: VecDeque<(u64, T)>,
    answers: HashMap<u64, A>,
    next_ticket: u64,
    led: bool,
}

impl<T, A> Group<T, A> {
    pub(crate) fn new() -> Self {
        let state = State { waiting: VecDeque::new(), answers: HashMap::new(), next_ticket: 0, led: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Waits until `commit` (this thread's or another's) has dealt with `request`. `commit` answers each request of its group, in order;
    /// groups are never committed at the same time. `weigh` and `max_weight` bound a group, apart from a request that is too heavy alone.
    pub(crate) fn submit(&self, request: T, weigh: impl Fn(&T) -> usize, max_weight: usize, commit: impl Fn(Vec<T>) -> Vec<A>) -> A {
        let mut state = self.state.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back((ticket, request));
        loop {
            if let Some(answer) = state.answers.remove(&ticket) {
                return answer;
            }
            if state.led {
                self.changed.wait(&mut state);
                continue;
            }
            state.led = true;
            let (tickets, requests) = state.take_group(&weigh, max_weight);
            drop(state);
            let answers = commit(requests);
            state = self.state.lock();
            state.answers.extend(tickets.into_iter().zip(answers));
            state.led = false;
            self.changed.notify_all();
        }
    }
}

impl<T, A> State<T, A> {
    fn take_group(&mut self, weigh: impl Fn(&T) -> usize, max_weight: usize) -> (Vec<u64>, Vec<T>) {
        let mut weight = 0usize;
        let mut take = 0;
        for (_, request) in &self.waiting {
            weight = weight.saturating_add(weigh(request));
            if take > 0 && weight > max_weight {
                break;
            }
            take += 1;
        }
        self.waiting.drain(..take).unzip()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn requests_that_come_while_a_group_is_committed_share_the_next_commit() {
        let group = Group::new();
        let commits = AtomicUsize::new(0);
        let commit = |requests: Vec<usize>| {
            if commits.fetch_add(1, Ordering::SeqCst) == 0 {
                // The first commit lasts until all others wait.
                while group.state.lock().waiting.len() < 15 {
                    std::thread::yield_now();
                }
            }
            requests.into_iter().map(|r| r * 10).collect()
        };
        std::thread::scope(|scope| {
            for i in 0..16 {
                let (group, commit) = (&group, &commit);
                scope.spawn(move || assert_eq!(group.submit(i, |_| 1, 100, commit), i * 10));
            }
        });
        assert_eq!(commits.load(Ordering::SeqCst), 2);
        assert!(group.state.lock().answers.is_empty());
    }

    #[test]
    fn a_group_is_bounded_and_one_that_is_too_heavy_goes_alone() {
        let mut state: State<usize, ()> =
            State { waiting: [(0, 500), (1, 40), (2, 40), (3, 40)].into(), answers: HashMap::new(), next_ticket: 4, led: false };
        assert_eq!(state.take_group(|w| *w, 100).0, [0]);
        assert_eq!(state.take_group(|w| *w, 100).0, [1, 2]);
        assert_eq!(state.take_group(|w| *w, 100).0, [3]);
    }
}
