package altfiles

import (
	"cmp"
	"slices"
)

// stray is a line of passwd on disk that has no line of the same name and uid in
// the rendering.
type stray struct {
	uid  uint32
	line int // that of the same name in the rendering, or -1
	name string
}

// naming is what other names than its present one tell of an account.
type naming struct {
	before  bool // one of its aliases was a name of the same uid
	could   bool // and let somebody in
	changed bool // names come, go or change places
}

// note changes what is known of the account whose own line is the ith.
func (w *weighing) note(i int, change func(*naming)) {
	if w.named == nil {
		w.named = map[int]naming{}
	}
	n := w.named[i]
	change(&n)
	w.named[i] = n
}

// noteOrder notes that line i was found on disk with the same uid: if it is now
// an alias, and was so far the first of its account, the account had this name.
func (w *weighing) noteOrder(i int) {
	if of, ok := w.now.alias(i); ok && w.was[of]&hadPasswd == 0 {
		w.note(of, func(n *naming) { n.changed = true })
	}
}

// settleAliases notes for each account what its aliases were.
func (w *weighing) settleAliases() {
	for _, a := range w.now.aliases {
		was := w.was[a.line]
		if w.same(was) && w.was[a.of].stays() {
			continue // which is how it goes with most
		}
		w.note(int(a.of), func(n *naming) {
			n.changed = n.changed || !w.same(was)
			if was.stays() {
				could, _ := w.logins(int(a.line), was)
				n.before, n.could = true, n.could || could
			}
		})
	}
}

// stays reports whether the line was there with the same uid.
func (was before) stays() bool { return was&hadPasswd != 0 && was&otherUID == 0 }

// accountsThatStay finds the accounts in the rendering that have the uid of a
// stray, and had it before under one of their names: their own lines by uid.
func (w *weighing) accountsThatStay() map[uint32]int {
	stay := map[uint32]int{}
	for i, was := range w.was {
		if !was.stays() && !w.named[i].before {
			continue
		}
		if _, ok := w.now.alias(i); ok {
			continue
		}
		uid := numberOf(w.now.passwd.line(i))
		if _, ok := slices.BinarySearchFunc(w.strays, uid, func(s stray, uid uint32) int { return cmp.Compare(s.uid, uid) }); ok {
			stay[uid] = i
		}
	}
	return stay
}

// settleStrays decides what became of the accounts that strays belonged to, and
// returns how many are removed. Strays with the same uid were names of one
// account, the first its own.
//
// An account on disk and one in the rendering are the same if they have a uid
// and a name in common, be it an alias; then it changed, since a name came or
// went. Of the others those are the same that have their own names in common:
// they are renumbered, with all their aliases. What remains is removed or added,
// and counts once, however many names it has.
func (w *weighing) settleStrays() (removed int) {
	if len(w.strays) == 0 {
		return 0
	}
	slices.SortStableFunc(w.strays, func(a, b stray) int { return cmp.Compare(a.uid, b.uid) })
	stays := w.accountsThatStay()
	renumbered := map[int]bool{}
	for at, s := range w.strays {
		if at > 0 && s.uid == w.strays[at-1].uid {
			continue
		}
		if i, ok := stays[s.uid]; ok {
			w.note(i, func(n *naming) { n.changed = true })
			continue
		}
		if s.line >= 0 && !w.named[s.line].before {
			if _, ok := w.now.alias(s.line); !ok {
				renumbered[s.line] = true
				continue
			}
		}
		removed++
		w.noteRemoved(at)
	}
	for _, s := range w.strays {
		if s.line >= 0 && !renumbered[s.line] {
			w.was[s.line] = 0 // that was somebody else
		}
	}
	return removed
}
