package altfiles

import (
	"slices"

	"pwb/roster"
)

// noteRemoved notes that the account of the strays from at on is removed, if
// anybody could log in to it under one of its names, or could until it expired.
func (w *weighing) noteRemoved(at int) {
	own := w.strays[at]
	for _, s := range w.strays[at:] {
		if s.uid != own.uid {
			return
		}
		var was before
		var could bool
		if s.line < 0 {
			was = w.gone[s.name].was
			could = was.letIn()
		} else {
			was = w.was[s.line]
			could, _ = w.logins(s.line, was)
		}
		if could || was&openShell != 0 && was&freeShadow != 0 {
			w.leavers = append(w.leavers, roster.Leaver{Name: own.name, UID: own.uid})
			return
		}
	}
}

// dropRenamed drops those of the removed accounts whose number can log in under
// another name: a number is one person's for ever.
func (w *weighing) dropRenamed() {
	if len(w.leavers) == 0 {
		return
	}
	here := map[uint32]bool{}
	for _, l := range w.leavers {
		here[l.UID] = false
	}
	for i := range w.was {
		uid := numberOf(w.now.passwd.line(i))
		if _, ok := here[uid]; ok {
			_, can := w.logins(i, 0)
			here[uid] = here[uid] || can
		}
	}
	w.leavers = slices.DeleteFunc(w.leavers, func(l roster.Leaver) bool { return here[l.UID] })
}

// lockedAfterExpiry reports whether the ith account had expired already and is
// locked only now. Nobody was told when its day came: files do not change by
// themselves.
func (w *weighing) lockedAfterExpiry(i int, was before) bool {
	if !w.r.rules.shadow || was&freeShadow == 0 || was&openShadow != 0 {
		return false
	}
	now, _ := roster.ParseShadow(string(w.now.shadow.line(i)))
	return locks(now) && was&openShell != 0
}

// oldUID is the number that the ith account had.
func (w *weighing) oldUID(i int) uint32 {
	if w.was[i]&otherUID != 0 {
		for _, s := range w.strays {
			if s.line == i {
				return s.uid
			}
		}
	}
	return numberOf(w.now.passwd.line(i))
}
