package openai_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cloudact/convergence/testing/providers/openai"
)

func TestKeysOpenOnlyTheirEndpoints(t *testing.T) {
	_, c := start(t)
	query := days(firstDay, lastDay)
	c.key = ""
	c.fails(completionsPath, query, http.StatusUnauthorized)
	c.key = "sk-unknown"
	if f := c.fails(completionsPath, query, http.StatusUnauthorized); f.Code == nil || *f.Code != "invalid_api_key" {
		t.Errorf("unknown key: got code %v", f.Code)
	}
	c.key = acmeStandard
	for _, path := range []string{completionsPath, costsPath, "/organization/projects"} {
		c.fails(path, query, http.StatusForbidden)
	}
	c.key = acmeAdmin
	c.fails("/models", "", http.StatusForbidden)
	c.fails("/organization/nothing", "", http.StatusNotFound)
}

func TestLimitsFollowTheBucketWidth(t *testing.T) {
	_, c := start(t)
	const longRange = "start_time=1780000000&end_time=1800000000"
	for _, tt := range []struct {
		path, width    string
		standard, most int
	}{
		{completionsPath, "1d", 7, 31},
		{completionsPath, "1h", 24, 168},
		{embeddingsPath, "1m", 60, 1440},
		{costsPath, "1d", 7, 180},
	} {
		query := longRange + "&bucket_width=" + tt.width
		if got := len(c.page(tt.path, query).Data); got != tt.standard {
			t.Errorf("%s %s: %d buckets by default, want %d", tt.path, tt.width, got, tt.standard)
		}
		if got := len(c.page(tt.path, query+"&limit="+strconv.Itoa(tt.most)).Data); got != tt.most {
			t.Errorf("%s %s: %d buckets at most, want %d", tt.path, tt.width, got, tt.most)
		}
		for _, limit := range []string{strconv.Itoa(tt.most + 1), "0", "x"} {
			if f := c.fails(tt.path, query+"&limit="+limit, http.StatusBadRequest); f.Param == nil || *f.Param != "limit" {
				t.Errorf("limit %s: got param %v", limit, f.Param)
			}
		}
	}
}

func TestWrongParametersAreRefusedByName(t *testing.T) {
	_, c := start(t)
	query := days(firstDay, lastDay)
	for _, tt := range []struct{ path, query, param string }{
		{completionsPath, "", "start_time"},
		{completionsPath, "start_time=soon", "start_time"},
		{completionsPath, "start_time=20&end_time=20", "end_time"},
		{completionsPath, query + "&bucket_width=1w", "bucket_width"},
		{costsPath, query + "&bucket_width=1h", "bucket_width"},
		{completionsPath, query + "&group_by=line_item", "group_by"},
		{completionsPath, query + "&group_by=model,batch", "group_by"},
		{embeddingsPath, query + "&group_by=service_tier", "group_by"},
		{costsPath, query + "&group_by=model", "group_by"},
		{completionsPath, query + "&batch=maybe", "batch"},
		{embeddingsPath, query + "&batch=true", "batch"},
		{costsPath, query + "&models=gpt-4o", "models"},
		{completionsPath, query + "&color=red", "color"},
		{completionsPath, query + "&limit=1&limit=2", "limit"},
		{"/organization/projects", "limit=101", "limit"},
		{"/organization/projects", "after=proj_nobody", "after"},
	} {
		if f := c.fails(tt.path, tt.query, http.StatusBadRequest); f.Param == nil || *f.Param != tt.param {
			t.Errorf("GET %s?%s: got param %v, want %s", tt.path, tt.query, f.Param, tt.param)
		}
	}
}

func TestCursorsBelongToTheirQuery(t *testing.T) {
	_, c := start(t)
	query := days(firstDay, lastDay)
	first := c.page(completionsPath, query+"&group_by=model&group_by=batch&limit=2")
	next := "&page=" + url.QueryEscape(*first.NextPage)
	second := c.page(completionsPath, query+"&group_by[]=batch&group_by[]=model&limit=1"+next)
	if len(second.Data) != 1 || second.Data[0].StartTime != first.Data[1].EndTime {
		t.Errorf("the same query in the other encoding and a smaller limit did not go on: %+v", second.Data)
	}
	for path, other := range map[string]string{
		completionsPath: query + "&group_by=model" + next,
		embeddingsPath:  query + "&group_by=model" + next,
		costsPath:       query + "&page=garbage",
	} {
		if f := c.fails(path, other, http.StatusBadRequest); f.Param == nil || *f.Param != "page" {
			t.Errorf("GET %s?%s: got param %v", path, other, f.Param)
		}
	}
	c.key = globexAdmin
	c.fails(completionsPath, query+"&group_by=model&group_by=batch"+next, http.StatusBadRequest)
}

func TestPagesHoldEachBucketOnce(t *testing.T) {
	_, c := start(t)
	from, to := firstDay.In(time.UTC).Add(17*time.Hour+30*time.Minute).Unix(), lastDay.In(time.UTC).Unix()
	query := fmt.Sprintf("start_time=%d&end_time=%d", from, to)
	for paging, width := range map[string]int64{
		"&bucket_width=1d&limit=1": 86400, "&bucket_width=1h&limit=7": 3600, "&bucket_width=1m&limit=1000": 60,
	} {
		at := from
		empty := 0
		for _, b := range c.all(completionsPath, query+paging) {
			if b.StartTime != at || b.EndTime <= at || b.EndTime%width != 0 || b.Results == nil {
				t.Fatalf("%s: bucket %d to %d after %d", paging, b.StartTime, b.EndTime, at)
			}
			if len(b.Results) == 0 {
				empty++
			}
			at = b.EndTime
		}
		if at != to {
			t.Errorf("%s: the last bucket ends at %d, want %d", paging, at, to)
		}
		if width < 86400 && empty == 0 {
			t.Errorf("%s: no empty bucket", paging)
		}
	}
}

func TestArraysAreReadInBothEncodings(t *testing.T) {
	_, c := start(t)
	query := days(firstDay, firstDay)
	plain := c.page(completionsPath, query+"&group_by=model&group_by=batch&models=gpt-5-2025-08-07&models=gpt-4o-2024-08-06")
	bracketed := c.page(completionsPath, query+"&group_by[]=model&group_by[]=batch&models[]=gpt-5-2025-08-07&models[]=gpt-4o-2024-08-06")
	a, b := mustJSON(t, plain), mustJSON(t, bracketed)
	if a != b || len(plain.Data[0].Results) != 4 {
		t.Errorf("the encodings differ or do not hold two models by batch:\n%s\n%s", a, b)
	}
}

func TestDimensionsAreNullUnlessGrouped(t *testing.T) {
	_, c := start(t)
	want := []string{
		"api_key_id", "batch", "input_audio_tokens", "input_cache_write_tokens", "input_cached_audio_tokens",
		"input_cached_image_tokens", "input_cached_text_tokens", "input_cached_tokens", "input_image_tokens", "input_text_tokens",
		"input_tokens", "input_uncached_tokens", "model", "num_model_requests", "object", "output_audio_tokens",
		"output_image_tokens", "output_text_tokens", "output_tokens", "project_id", "service_tier", "user_id",
	}
	dimensions := []string{"project_id", "user_id", "api_key_id", "model", "batch", "service_tier"}
	for _, grouped := range append([]string{""}, dimensions...) {
		query := days(firstDay, firstDay)
		if grouped != "" {
			query += "&group_by=" + grouped
		}
		_, body, err := c.send(completionsPath, query)
		if err != nil {
			t.Fatal(err)
		}
		var p struct {
			Data []struct{ Results []map[string]any }
		}
		if err := json.Unmarshal(body, &p); err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Data[0].Results {
			var fields []string
			for name := range r {
				fields = append(fields, name)
			}
			if slices.Sort(fields); !slices.Equal(fields, want) {
				t.Fatalf("fields: got %v, want %v", fields, want)
			}
			for _, name := range dimensions {
				if (r[name] != nil) != (name == grouped) {
					t.Errorf("group_by %q: %s is %v", grouped, name, r[name])
				}
			}
		}
	}
}

func TestFiltersSelectWhatTheyName(t *testing.T) {
	_, c := start(t)
	query := days(firstDay, lastDay)
	full := query + "&group_by=project_id&group_by=api_key_id&group_by=user_id&group_by=batch"
	sample := c.page(completionsPath, full).Data[0].Results[0]
	for filter, kept := range map[string]func(result) bool{
		"project_ids=" + *sample.ProjectID: func(r result) bool { return *r.ProjectID == *sample.ProjectID },
		"api_key_ids=" + *sample.APIKeyID:  func(r result) bool { return *r.APIKeyID == *sample.APIKeyID },
		"user_ids=" + *sample.UserID:       func(r result) bool { return *r.UserID == *sample.UserID },
		"batch=true":                       func(r result) bool { return *r.Batch },
		"batch=false":                      func(r result) bool { return !*r.Batch },
	} {
		var want, got int64
		for _, b := range c.all(completionsPath, full) {
			for _, r := range b.Results {
				if kept(r) {
					want += r.NumModelRequests
				}
			}
		}
		for _, b := range c.all(completionsPath, query+"&"+filter) {
			for _, r := range b.Results {
				got += r.NumModelRequests
			}
		}
		if got != want || got == 0 {
			t.Errorf("%s: got %d requests, want %d", filter, got, want)
		}
	}
}

func TestOtherUsageEndpointsAnswerEmptyBuckets(t *testing.T) {
	_, c := start(t)
	for _, name := range []string{
		"moderations", "images", "audio_speeches", "audio_transcriptions", "vector_stores",
		"code_interpreter_sessions", "file_search_calls", "web_search_calls",
	} {
		p := c.page("/organization/usage/"+name, days(firstDay, lastDay)+"&group_by=project_id")
		if len(p.Data) != 5 || p.HasMore || p.Data[0].Results == nil || len(p.Data[0].Results) != 0 {
			t.Errorf("%s: got %+v", name, p)
		}
	}
}

func TestProjectsArePagedByTheirIds(t *testing.T) {
	_, c := start(t)
	type list struct {
		Data    []struct{ ID, Status string }
		HasMore bool   `json:"has_more"`
		LastID  string `json:"last_id"`
	}
	read := func(query string) (l list) {
		_, body, err := c.send("/organization/projects", query)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(body, &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	first := read("limit=2")
	second := read("limit=2&after=" + first.LastID)
	if len(first.Data) != 2 || !first.HasMore || len(second.Data) != 1 || second.HasMore {
		t.Errorf("pages of two: %+v, %+v", first, second)
	}
	if all := read("include_archived=true"); len(all.Data) != 4 || all.Data[3].Status != "archived" {
		t.Errorf("with the archived one: %+v", all)
	}
}

func TestModelsAreListedForAStandardKey(t *testing.T) {
	_, c := start(t)
	c.key = acmeStandard
	_, body, err := c.send("/models", "")
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Object string
		Data   []struct{ ID string }
	}
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatal(err)
	}
	if list.Object != "list" || len(list.Data) != 8 {
		t.Errorf("got %s", body)
	}
}

func TestConfigurationsThatCanNotWorkAreRefused(t *testing.T) {
	for name, orgs := range map[string][]openai.Org{
		"no organisation": nil,
		"no admin key":    {{Name: "acme"}},
		"a name twice":    {{Name: "acme", AdminKey: "a"}, {Name: "acme", AdminKey: "b"}},
		"a key twice":     {{Name: "acme", AdminKey: "a"}, {Name: "globex", AdminKey: "b", StandardKey: "a"}},
		"one key for all": {{Name: "acme", AdminKey: "a", StandardKey: "a"}},
	} {
		if _, err := openai.New(openai.Config{Orgs: orgs}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
