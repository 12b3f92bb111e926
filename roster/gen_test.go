package roster_test

import (
	"pgregory.net/rapid"

	"pwb/roster"
)

// anyText draws strings as providers and attackers send them: any bytes, any
// runes, and often what has a meaning in names and lines.
func anyText() *rapid.Generator[string] {
	telling := rapid.SliceOf(rapid.SampledFrom([]string{
		"a", "Z", "0", "-", ".", "_", "@", `\`, ":", ",", "\n", "\x00", " ", "ß", "ÿ", "İ", "\u0301", "\u2028", "山", "\xff", "\uFFFD", "$",
	}))
	return rapid.OneOf(
		rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		rapid.Map(telling, func(parts []string) (s string) {
			for _, p := range parts {
				s += p
			}
			return s
		}),
	)
}

// field draws what CheckField allows.
func field() *rapid.Generator[string] {
	return anyText().Filter(func(s string) bool { return roster.CheckField(s) == nil })
}

func name() *rapid.Generator[string] {
	return rapid.StringMatching(`[a-z_][a-z0-9_.-]{0,30}[a-z0-9_-]`)
}

func id() *rapid.Generator[string] { return rapid.StringMatching(`[A-Za-z0-9_.-]{1,64}`) }

func account() *rapid.Generator[roster.Account] {
	return rapid.Custom(func(t *rapid.T) roster.Account {
		return roster.Account{
			ID:     id().Draw(t, "id"),
			Name:   name().Draw(t, "name"),
			UID:    rapid.Uint32().Draw(t, "uid"),
			GID:    rapid.Uint32().Draw(t, "gid"),
			Gecos:  field().Draw(t, "gecos"),
			Home:   field().Draw(t, "home"),
			Shell:  field().Draw(t, "shell"),
			Hash:   rapid.StringMatching(`(\$6\$[a-zA-Z0-9./<>&]{0,40})?`).Draw(t, "hash"),
			Locked: rapid.Bool().Draw(t, "locked"),
			Expire: rapid.Int64().Draw(t, "expire"),
			// None is nil, as a row without the field is read.
			Aliases: rapid.OneOf(rapid.Just([]string(nil)), rapid.SliceOfN(rapid.OneOf(name(), rapid.String()), 1, 3)).Draw(t, "aliases"),
			Keys:    keyList().Draw(t, "keys"),
		}
	})
}

func row() *rapid.Generator[roster.Row] {
	return rapid.Custom(func(t *rapid.T) roster.Row {
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			a := account().Draw(t, "account")
			return roster.Row{Account: &a}
		case 1:
			return roster.Row{Group: &roster.Group{ID: id().Draw(t, "id"), Name: name().Draw(t, "name"), GID: rapid.Uint32().Draw(t, "gid")}}
		}
		return roster.Row{Member: &roster.Member{GroupID: id().Draw(t, "group"), AccountID: id().Draw(t, "account")}}
	})
}

func sum() *rapid.Generator[roster.Sum] {
	return rapid.Custom(func(t *rapid.T) (s roster.Sum) {
		copy(s[:], rapid.SliceOfN(rapid.Byte(), len(s), len(s)).Draw(t, "sum"))
		return s
	})
}

func position() *rapid.Generator[roster.Position] {
	return rapid.Custom(func(t *rapid.T) roster.Position {
		return roster.Position{
			Epoch: id().Draw(t, "epoch"),
			Seq:   rapid.Int64Min(0).Draw(t, "seq"),
			Sum:   sum().Draw(t, "sum"),
		}
	})
}
