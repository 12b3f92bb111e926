package scimserver

import (
	"fmt"
	"strings"
)

// etag is the resource's version as an entity tag. It is a weak one, since the
// answer's bytes also depend on what was asked for (RFC 7644 §3.14).
func etag(r Resource) string { return fmt.Sprintf(`W/"%d"`, r.Version) }

// etagMatches reports whether the value of If-Match or If-None-Match covers the
// resource (RFC 9110 §13.1). An absent header matches as absent says.
func etagMatches(header string, r Resource, absent bool) bool {
	if strings.TrimSpace(header) == "" {
		return absent
	}
	own := strings.TrimPrefix(etag(r), "W/")
	for _, tag := range strings.Split(header, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == own {
			return true
		}
	}
	return false
}
