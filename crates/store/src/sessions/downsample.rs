//! Which of a session's meter values an event contains, when there is no room for all of them.

/// One value as it competes for room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    /// The number of the moment it was sampled at; they rise.
    pub(crate) moment: usize,
    /// It is a signed document.
    pub(crate) signed: bool,
    /// How much room it takes.
    pub(crate) bytes: usize,
}

/// Which of `candidates` are kept, in at most `room` bytes: all, if they fit; else the last and the first
/// one, signed ones, the rest of the last and the first moment, and whole moments evenly between them.
pub(crate) fn choose(candidates: &[Candidate], room: usize) -> Vec<bool> {
    let mut choice = Choice { kept: vec![false; candidates.len()], room, candidates };
    let (Some(first), Some(last)) = (candidates.first(), candidates.last()) else { return choice.kept };
    if candidates.iter().map(|candidate| candidate.bytes).sum::<usize>() <= room {
        return vec![true; candidates.len()];
    }
    let at_end = |candidate: &Candidate| candidate.moment == last.moment;
    let at_start = |candidate: &Candidate| candidate.moment == first.moment;
    // Billing rests on the readings at both ends, and on the signed ones most.
    choice.take(candidates.len() - 1);
    choice.take(0);
    choice.take_if(|candidate| candidate.signed && at_end(candidate));
    choice.take_if(|candidate| candidate.signed && at_start(candidate));
    choice.take_if(|candidate| candidate.signed);
    choice.take_if(at_end);
    choice.take_if(at_start);
    choice.take_evenly();
    choice.kept
}

struct Choice<'a> {
    candidates: &'a [Candidate],
    kept: Vec<bool>,
    room: usize,
}

impl Choice<'_> {
    fn take(&mut self, place: usize) {
        let bytes = self.candidates[place].bytes;
        if !self.kept[place] && bytes <= self.room {
            self.kept[place] = true;
            self.room -= bytes;
        }
    }

    fn take_if(&mut self, wanted: impl Fn(&Candidate) -> bool) {
        for place in 0..self.candidates.len() {
            if wanted(&self.candidates[place]) {
                self.take(place);
            }
        }
    }

    /// Every second, third, … of the moments that are left: as many as there is room for.
    fn take_evenly(&mut self) {
        let left: Vec<usize> = (0..self.kept.len()).filter(|place| !self.kept[*place]).collect();
        let moments: Vec<&[usize]> =
            left.chunk_by(|a, b| self.candidates[*a].moment == self.candidates[*b].moment).collect();
        for stride in 2..=moments.len() + 1 {
            let some = || moments.iter().skip(stride / 2).step_by(stride).flat_map(|places| places.iter());
            if some().map(|place| self.candidates[*place].bytes).sum::<usize>() <= self.room {
                some().for_each(|place| self.take(*place));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(moment: usize) -> Candidate {
        Candidate { moment, signed: false, bytes: 10 }
    }

    fn kept(candidates: &[Candidate], room: usize) -> Vec<usize> {
        let choice = choose(candidates, room);
        (0..choice.len()).filter(|place| choice[*place]).collect()
    }

    #[test]
    fn what_fits_is_told_whole() {
        let all: Vec<_> = (0..5).map(plain).collect();
        assert_eq!(kept(&all, 50), [0, 1, 2, 3, 4]);
        assert_eq!(kept(&[], 0), [0usize; 0]);
    }

    #[test]
    fn the_ends_come_first_and_the_rest_evenly() {
        let all: Vec<_> = (0..11).map(plain).collect();
        assert_eq!(kept(&all, 10), [10]);
        assert_eq!(kept(&all, 20), [0, 10]);
        assert_eq!(kept(&all, 50), [0, 2, 5, 8, 10]);
        assert_eq!(kept(&all, 70), [0, 2, 4, 6, 8, 10]);
    }

    #[test]
    fn signed_values_come_before_plain_ones() {
        let mut all: Vec<_> = (0..11).map(plain).collect();
        all[4] = Candidate { signed: true, bytes: 25, ..all[4] };
        all[7].signed = true;
        assert_eq!(kept(&all, 55), [0, 4, 7, 10]);
        // One that is larger than all the room is left out, and costs nobody else.
        all[4].bytes = 1_000;
        assert_eq!(kept(&all, 30), [0, 7, 10]);
    }

    proptest! {
        #[test]
        fn the_room_is_never_exceeded(
            sizes in prop::collection::vec((0usize..4, any::<bool>(), 1usize..100), 0..60),
            room in 0usize..2_000,
        ) {
            let mut moment = 0;
            let candidates: Vec<_> = sizes
                .into_iter()
                .map(|(step, signed, bytes)| {
                    moment += step;
                    Candidate { moment, signed, bytes }
                })
                .collect();
            let kept = kept(&candidates, room);
            prop_assert!(kept.iter().map(|place| candidates[*place].bytes).sum::<usize>() <= room);
            if let Some(last) = candidates.last().filter(|last| last.bytes <= room) {
                prop_assert_eq!(kept.last(), Some(&(candidates.len() - 1)), "{:?}", last);
            }
        }
    }
}
