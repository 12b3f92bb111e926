package syncer

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Identity is what a server says of the token in ClientConfig.TokenFile.
type Identity struct {
	// Name is the administrator's name for it, Scope what it is for, such as
	// node-admin.
	Name  string `json:"name"`
	Scope string `json:"scope"`
	// Expires is when it ends; the zero time: never.
	Expires time.Time `json:"expires"`
	// Now is the server's clock.
	Now time.Time `json:"now"`
}

// WhoAmI asks the server what the token is. Servers that do not know the question answer 404, which is a
// *StatusError as every refusal.
func (c *Client) WhoAmI(ctx context.Context) (id Identity, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.HeaderTimeout, errLate)
	defer cancel()
	a, err := c.do(ctx, request{method: http.MethodGet, name: "whoami"})
	if err != nil {
		return id, err
	}
	defer a.Close()
	if a.resp.StatusCode != http.StatusOK {
		return id, c.refusal(a)
	}
	raw, err := io.ReadAll(io.LimitReader(a, maxRefusal))
	if err == nil {
		err = json.Unmarshal(raw, &id)
	}
	if err != nil {
		return Identity{}, fmt.Errorf("%s: the answer cannot be read: %w", a.what, hideContent(err))
	}
	return id, nil
}
