package api

import (
	"context"
	"encoding/base64"
	"net/url"
	"slices"

	"github.com/cloudact/convergence/launcher"
)

// Lists answer with one page, and name the next one in a Link header. A cursor says which
// item was the last one of a page; callers take it as it is.

// PageInput is what every list takes. It is exported because huma reads only fields that
// are.
type PageInput struct {
	Limit  int    `query:"limit" default:"20" minimum:"1" maximum:"100" doc:"items of a page"`
	Cursor string `query:"cursor" maxLength:"400" doc:"from the Link header of the page before"`
}

// last returns the key of the last item of the page before, "" for the first page.
func (in PageInput) last() (string, *Problem) {
	b, err := base64.RawURLEncoding.DecodeString(in.Cursor)
	if err != nil || hasControl(string(b)) {
		return "", refuse(launcher.CodeInvalidParameter, "the cursor is none of this service", "query.cursor", "take it from a Link header as it is")
	}
	return string(b), nil
}

// nextLink is the Link header of a page whose last item has a key.
func nextLink(ctx context.Context, last string) string {
	u := exchangeOf(ctx).url
	if u == nil {
		return ""
	}
	query := u.Query()
	query.Set("cursor", base64.RawURLEncoding.EncodeToString([]byte(last)))
	next := url.URL{Path: u.Path, RawQuery: query.Encode()}
	return "<" + next.String() + `>; rel="next"`
}

// pageOf cuts a page out of all items, which are in the order of their keys.
func pageOf[T any](ctx context.Context, in PageInput, all []T, key func(T) string) (page []T, link string, problem *Problem) {
	last, problem := in.last()
	if problem != nil {
		return nil, "", problem
	}
	if last != "" {
		i := slices.IndexFunc(all, func(item T) bool { return key(item) > last })
		if i < 0 {
			i = len(all)
		}
		all = all[i:]
	}
	if len(all) <= in.Limit {
		return append([]T{}, all...), "", nil // never null
	}
	page = all[:in.Limit]
	return page, nextLink(ctx, key(page[len(page)-1])), nil
}
