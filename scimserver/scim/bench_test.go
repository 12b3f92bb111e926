package scim

import "testing"

func BenchmarkDecodeObject(b *testing.B) {
	data := []byte(janet)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeObject(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNormalize(b *testing.B) {
	in := object(b, janet)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := User.Normalize(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParsePatch(b *testing.B) {
	body := object(b, `{"Operations":[{"op":"Replace","path":"emails[type eq \"work\"].value","value":"n@example.com"}]}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParsePatch(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPatch(b *testing.B) {
	for name, operations := range map[string]string{
		"active":  `[{"op":"Replace","path":"active","value":"False"}]`,
		"typical": `[{"op":"Replace","path":"emails[type eq \"work\"].value","value":"n@example.com"},{"op":"Replace","path":"name.familyName","value":"f"},{"op":"Add","path":"` + EnterpriseURN + `:department","value":"d"}]`,
	} {
		b.Run(name, func(b *testing.B) {
			r := resource(b, janet)
			ops, err := ParsePatch(object(b, `{"Operations":`+operations+`}`))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := User.Patch(r, ops, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMatch(b *testing.B) {
	for name, filter := range map[string]string{
		"userName": `userName eq "JANET@example.com"`,
		"complex":  `emails[type eq "work" and value co "@example.com"] and ` + EnterpriseURN + `:department eq "tours" or active eq false`,
	} {
		b.Run(name, func(b *testing.B) {
			r := resource(b, janet)
			f, err := ParseFilter(filter)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if !User.Match(f, r) {
					b.Fatal("no match")
				}
			}
		})
	}
}

func BenchmarkParseFilter(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseFilter(`userName eq "janet@example.com"`); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProject(b *testing.B) {
	for name, list := range map[string]string{"default": "", "some": "userName,emails.value,department"} {
		b.Run(name, func(b *testing.B) {
			r := resource(b, janet)
			p, err := ParseProjection(list, "")
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if len(User.Project(r, p)) == 0 {
					b.Fatal("nothing")
				}
			}
		})
	}
}
