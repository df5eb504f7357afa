package trueup_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"trueup.dev/trueup"
	"trueup.dev/trueup/contract"
	"trueup.dev/trueup/trueuptest"
)

// A provider of notes that a web service keeps by board and title: the one of the Rust SDK's example.

var notesConfig struct {
	Server string `json:"server" trueup:"default=https://notes.example/api" doc:"Where the service listens."`
}

type Note struct {
	Board string `json:"board" trueup:"scope,lowercase"`
	Title string `json:"title" trueup:"key"`
	Text  string `json:"text" doc:"What it says."`
	Stars uint8  `json:"stars" trueup:"default=1,min=1,max=5"`
}

type noteStatus struct {
	Link string `json:"link" trueup:"computed"`
}

func noteURL(target *trueup.Target[Note]) string {
	return notesConfig.Server + "/" + trueup.Escape(target.Address.Scope) + "/" + trueup.Escape(target.Address.Key)
}

func note(response *trueup.Response, err error) (*trueup.Object[Note], error) {
	if response == nil || err != nil {
		return nil, err
	}
	made := &trueup.Object[Note]{Version: response.ETag(), Status: noteStatus{response.Header("location")}}
	return made, response.JSON(&made.Spec)
}

func putNote(target *trueup.Target[Note], desired *Note, condition, value string) (*trueup.Object[Note], error) {
	request := trueup.HTTP.Put(noteURL(target)).Credential("token").Header(condition, value)
	return note(request.IdempotencyKey(target.Token).JSON(desired).OK())
}

var notes = &trueup.Provider{
	Name: "notes", Config: &notesConfig, Hosts: []string{"config.server"}, Credentials: trueup.Credentials{"token": {"bearer"}},
	Kinds: trueup.Kinds{&trueup.Kind[Note]{
		Status: noteStatus{},
		Find: func(target *trueup.Target[Note]) (*trueup.Object[Note], error) {
			return note(trueup.HTTP.Get(noteURL(target)).Credential("token").Found())
		},
		Create: func(target *trueup.Target[Note], desired *Note) (*trueup.Object[Note], error) {
			return putNote(target, desired, "if-none-match", "*")
		},
		Update: func(target *trueup.Target[Note], desired *Note) (*trueup.Object[Note], error) {
			return putNote(target, desired, "if-match", target.Version)
		},
		Delete: func(target *trueup.Target[Note]) error {
			_, err := trueup.HTTP.Delete(noteURL(target)).Credential("token").IfMatch(target.Version).OK()
			return err
		},
	}},
}

// service keeps notes by URL, each with the number of its version.
type service map[string]*stored

type stored struct {
	version int
	body    []byte
}

func (s service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	held := s[path]
	etag := ""
	if held != nil {
		etag = fmt.Sprint(held.version)
	}
	ifMatch, given := r.Header["If-Match"]
	if r.Header.Get("If-None-Match") == "*" && held != nil || given && ifMatch[0] != "*" && ifMatch[0] != etag {
		w.WriteHeader(http.StatusPreconditionFailed)
		return
	}
	switch {
	case r.Method == "PUT":
		body, _ := io.ReadAll(r.Body)
		if held == nil {
			held = &stored{}
			s[path] = held
		}
		held.version, held.body = held.version+1, body
	case held == nil:
		w.WriteHeader(http.StatusNotFound)
		return
	case r.Method == "DELETE":
		delete(s, path)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("ETag", fmt.Sprint(held.version))
	w.Header().Set("Location", "/n/1")
	_, _ = w.Write(held.body)
}

func start(t *testing.T, provider *trueup.Provider, handler http.Handler) *trueuptest.Engine {
	t.Helper()
	trueup.Serve(provider)
	engine := trueuptest.Start(t, map[string]any{})
	engine.Credential("token", "Bearer test-token")
	engine.Handle(handler)
	return engine
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %#v\nwant %#v", got, want)
	}
}

func sameJSON(t *testing.T, got, want string) {
	t.Helper()
	var left, right any
	if err := errors.Join(json.Unmarshal([]byte(got), &left), json.Unmarshal([]byte(want), &right)); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	same(t, left, right)
}

func render(t *testing.T, engine *trueuptest.Engine, kind string, spec any) *contract.Desired {
	t.Helper()
	desired, err := engine.Render(kind, "x", spec)
	if err != nil {
		t.Fatal(err)
	}
	return desired
}

func TestANoteIsRenderedCreatedSeenChangedAndDeleted(t *testing.T) {
	held := service{}
	engine := start(t, notes, held)
	spec := func(text string) map[string]any { return map[string]any{"board": "Home", "title": "a b", "text": text} }
	desired := render(t, engine, "Note", spec("hello"))
	same(t, desired.Address, contract.Address{Kind: "Note", Scope: "home", Key: "a b"})
	sameJSON(t, desired.Doc, `{"spec":{"board":"home","title":"a b","text":"hello","stars":1}}`)
	made := engine.Bring(nil, desired)
	if made.Object == nil || held["/api/home/a%20b"] == nil {
		t.Fatalf("%+v, %v", made, held)
	}
	sameJSON(t, made.Object.Doc, desired.Doc)
	sameJSON(t, made.Object.Outputs, `{"link":"/n/1"}`)
	same(t, *made.Object.Version, "1")
	same(t, engine.Read(desired.Address, ""), contract.Observation{Case: contract.ObservationFound, Found: *made.Object})
	now := engine.Bring(made.Object, render(t, engine, "Note", spec("bye")))
	stale := engine.Bring(made.Object, nil)
	same(t, stale.Settlement.Case, contract.Rejected)
	same(t, stale.Settlement.Rejected.Fault.Case, contract.FaultConflict)
	same(t, engine.Bring(now.Object, nil).Settlement.Case, contract.Settled)
	same(t, engine.Bring(now.Object, nil).Settlement.Case, contract.Settled)
	same(t, engine.Read(desired.Address, "").Case, contract.ObservationAbsent)
}

func TestACreateWhoseAnswerWasLostMakesNoSecondNote(t *testing.T) {
	held := service{}
	engine := start(t, notes, held)
	change := engine.Change(nil, render(t, engine, "Note", map[string]any{"board": "b", "title": "t", "text": "x"}))
	engine.Interrupt(func(string, string) bool { return true })
	same(t, engine.Apply(change)[0].Settlement.Case, contract.Unsettled)
	change.Attempt, change.Unsettled = 1, true
	same(t, engine.Apply(change)[0].Settlement.Case, contract.Unsettled)
	engine.Interrupt(nil)
	same(t, engine.Apply(change)[0].Settlement.Case, contract.Settled)
	same(t, held["/api/b/t"].version, 1)
}

func TestTheManifestSaysWhatTheTypesSay(t *testing.T) {
	manifest := start(t, notes, nil).Manifest()
	kind := manifest["kinds"].(map[string]any)["Note"].(map[string]any)
	same(t, []any{kind["observe"], kind["recover"], kind["replace"]}, []any{"read", "key", "delete-first"})
	properties := kind["schema"].(map[string]any)["properties"].(map[string]any)
	spec := properties["spec"].(map[string]any)
	same(t, spec["required"], []any{"board", "title", "text"})
	fields := spec["properties"].(map[string]any)
	same(t, fields["title"], map[string]any{"type": "string", "x-trueup-key": true})
	same(t, fields["stars"], map[string]any{"type": "integer", "minimum": 1.0, "maximum": 5.0, "default": 1.0})
	same(t, fields["text"].(map[string]any)["description"], "What it says.")
	link := properties["status"].(map[string]any)["properties"].(map[string]any)["link"].(map[string]any)
	same(t, link["x-trueup-computed"], true)
	same(t, manifest["credentials"], map[string]any{"token": map[string]any{"schemes": []any{"bearer"}}})
	same(t, manifest["features"], []any{"rendering"})
}

func TestAnAddressThatIsNotThereYetIsAnErrorAtItsField(t *testing.T) {
	engine := start(t, notes, nil)
	for text, spec := range map[string]any{
		"`title` is missing":                  map[string]any{"board": "b"},
		"`title` must be known before apply":  map[string]any{"board": "b", "title": map[string]any{"$unknown": "A/b"}},
		"kind `Other` is not served":          nil,
		"document.spec: `spec` is missing":    7,
		"document.address: `title` is missin": map[string]any{"board": "b", "title": nil},
	} {
		kind := "Note"
		if spec == nil {
			kind = "Other"
		}
		if _, err := engine.Render(kind, "x", spec); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v: %v, not %s", spec, err, text)
		}
	}
}

// Jobs are listed, slow to delete, and changed many at a time where Batch says so.

type Job struct {
	Pool  string            `json:"pool" trueup:"scope"`
	Name  string            `json:"name"`
	Shard uint16            `json:"shard"`
	Tags  []string          `json:"tags,omitempty" trueup:"unordered"`
	Code  *string           `json:"code" trueup:"uppercase"`
	Extra map[string]string `json:"extra" trueup:"optional"`
	Key   *trueup.Secret    `json:"key"`
	File  *trueup.Blob      `json:"file"`
}

func TestASearchGoesThroughThePagesOfItsScope(t *testing.T) {
	pages := 0
	kind := &trueup.Kind[Job]{Key: "{name}/{shard}", Scan: func(query *trueup.Query) (*trueup.Page[Job], error) {
		pages++
		job := trueup.Object[Job]{Spec: Job{Pool: query.Scope, Name: "a" + query.Cursor, Shard: 7}, Identity: "id" + query.Cursor}
		next := map[string]string{"": "2", "2": "3"}[query.Cursor]
		return &trueup.Page[Job]{Objects: []*trueup.Object[Job]{&job}, Next: next, Version: "v"}, nil
	}}
	engine := start(t, &trueup.Provider{Name: "jobs", Kinds: trueup.Kinds{kind}}, nil)
	whole, err := engine.Scan("Job", "p", "")
	if err != nil || len(whole.Objects) != 3 || pages != 3 {
		t.Fatalf("%+v, %v, %d pages", whole, err, pages)
	}
	same(t, whole.Objects[1].Address, contract.Address{Kind: "Job", Scope: "p", Key: "a2/7"})
	sameJSON(t, whole.Objects[1].Doc, `{"spec":{"pool":"p","name":"a2","shard":7,"extra":{}}}`)
	same(t, engine.Read(whole.Objects[2].Address, "").Found, whole.Objects[2])
	same(t, engine.Read(whole.Objects[2].Address, "id2").Found.Identity, "id2")
	same(t, engine.Read(contract.Address{Kind: "Job", Scope: "p", Key: "b/7"}, "").Case, contract.ObservationAbsent)
}

func TestWhatIsDocumentedIsSpelledByItsSchemaAndFullyTold(t *testing.T) {
	kind := &trueup.Kind[Job]{Key: "{name}", Find: func(target *trueup.Target[Job]) (*trueup.Object[Job], error) {
		code := "ab\"ü"
		return &trueup.Object[Job]{
			Spec:   Job{Pool: "p", Name: "n", Tags: []string{}, Code: &code, Extra: map[string]string{"z": "1", "a": "<2>"}},
			Health: trueup.Health{State: trueup.Progressing, Message: "soon"}, Unread: true, Mark: "m",
		}, nil
	}}
	engine := start(t, &trueup.Provider{Name: "jobs", Kinds: trueup.Kinds{kind}}, nil)
	address := contract.Address{Kind: "Job", Scope: "p", Key: "n"}
	found := engine.Read(address, "").Found
	sameJSON(t, found.Doc, `{"spec":{"pool":"p","name":"n","shard":0,"code":"AB\"Ü","extra":{"a":"<2>","z":"1"}}}`)
	same(t, []any{found.Identity, *found.Mark, found.Version, found.Outputs}, []any{"n", "m", (*string)(nil), "{}"})
	same(t, found.Ext, []contract.Pair{{Name: "unread", Value: "true"}})
	same(t, found.Health.State, contract.Progressing)
}

func TestASlowDeleteIsPolledUntilItIsOver(t *testing.T) {
	polls := 0
	kind := &trueup.Kind[Job]{
		Key: "{name}", Find: func(*trueup.Target[Job]) (*trueup.Object[Job], error) { return nil, nil },
		Delete: func(target *trueup.Target[Job]) error {
			return fmt.Errorf("wrapped: %w", trueup.Pending("op-"+target.Identity, time.Second, "closing"))
		},
		Poll: func(target *trueup.Target[Job], operation string) (*trueup.Object[Job], error) {
			same(t, []string{operation, target.Address.Key}, []string{"op-7", "n"})
			if polls++; polls == 1 {
				return nil, trueup.Pending(operation, time.Minute, "still")
			}
			return nil, nil
		},
	}
	engine := start(t, &trueup.Provider{Name: "jobs", Kinds: trueup.Kinds{kind}}, nil)
	same(t, engine.Manifest()["features"], []any{"rendering", "operations"})
	prior := &contract.Remote{Address: contract.Address{Kind: "Job", Scope: "p", Key: "n"}, Identity: "7", Doc: "{}", Outputs: "{}"}
	outcome := engine.Bring(prior, nil)
	same(t, outcome.Settlement.Pending.After, uint64(1000))
	outcome = engine.Poll(outcome)
	same(t, outcome.Settlement.Pending.Message, "still")
	same(t, engine.Poll(outcome).Settlement.Case, contract.Settled)
}

func TestAnErrorThatSaysNothingMayHaveTakenEffect(t *testing.T) {
	kind := &trueup.Kind[Job]{
		Key: "{name}", Find: func(*trueup.Target[Job]) (*trueup.Object[Job], error) { return nil, nil },
		Create: func(*trueup.Target[Job], *Job) (*trueup.Object[Job], error) { return nil, errors.New("oops") },
	}
	engine := start(t, &trueup.Provider{Name: "jobs", Kinds: trueup.Kinds{kind}}, nil)
	desired := render(t, engine, "Job", map[string]any{"pool": "p", "name": "n", "shard": 1})
	made := engine.Bring(nil, desired).Settlement
	same(t, []any{made.Case, made.Unsettled.Fault.Case}, []any{contract.Unsettled, contract.FaultInternal})
	prior := &contract.Remote{Address: desired.Address, Doc: desired.Doc, Outputs: "{}"}
	same(t, engine.Bring(prior, desired).Settlement.Rejected.Fault.Case, contract.FaultUnsupported)
	broken := *desired
	broken.Doc = `{"spec":{"pool":"p","name":"n","shard":"canary"}}`
	wrong := engine.Bring(nil, &broken).Settlement
	same(t, wrong.Rejected.Fault.Case, contract.FaultInvalid)
	if text := wrong.Rejected.Diagnostics[0].Summary; strings.Contains(text, "canary") || !strings.Contains(text, "shard") {
		t.Error(text)
	}
}

func TestABatchIsAnsweredInItsOrder(t *testing.T) {
	batch := &trueup.Batch[Job]{Items: 10}
	kind := &trueup.Kind[Job]{Key: "{name}", Batch: batch, Find: func(*trueup.Target[Job]) (*trueup.Object[Job], error) { return nil, nil }}
	engine := start(t, &trueup.Provider{Name: "jobs", Kinds: trueup.Kinds{kind}}, nil)
	desired := func(name string) *contract.Desired {
		return render(t, engine, "Job", map[string]any{"pool": "p", "name": name, "shard": 1})
	}
	gone := &contract.Remote{Address: contract.Address{Kind: "Job", Scope: "p", Key: "gone"}, Doc: "{}", Outputs: "{}"}
	broken := desired("broken")
	broken.Doc = `{"spec":7}`
	changes := []contract.Change{
		engine.Change(nil, desired("a")), engine.Change(nil, broken), engine.Change(gone, nil), engine.Change(nil, desired("b")),
	}
	cases := func() (out []any) {
		for _, it := range engine.Apply(changes...) {
			out = append(out, it.Settlement.Case)
		}
		return out
	}
	batch.Apply = func(scope string, items []*trueup.Item[Job], _ *trueup.CallInfo) ([]trueup.Done[Job], error) {
		same(t, []any{scope, len(items), items[1].Desired}, []any{"p", 3, (*Job)(nil)})
		return []trueup.Done[Job]{{Object: &trueup.Object[Job]{Spec: *items[0].Desired}}, {Err: trueup.Errorf(trueup.NotFound, "x", "gone")}}, nil
	}
	same(t, cases(), []any{contract.Settled, contract.Rejected, contract.Settled, contract.Unsettled})
	batch.Atomic = true
	same(t, cases(), []any{contract.Rejected, contract.Rejected, contract.Rejected, contract.Rejected})
}

func TestASecretShowsNothingOfItself(t *testing.T) {
	engine := start(t, notes, nil)
	var job Job
	marker, _ := json.Marshal(map[string]any{"key": engine.Secret("canary", "value"), "file": engine.Blob([]byte("hello"))})
	if err := json.Unmarshal(marker, &job); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%d", "%q"} {
		if text := fmt.Sprintf(format, job.Key); strings.Contains(text, "canary") {
			t.Errorf("%s shows %s", format, text)
		}
	}
	_, err := job.Key.Reveal()
	same(t, errors.Is(err, &trueup.Error{Fault: trueup.Denied}), true)
	engine.Apply() // From here on the engine is within apply.
	value, err := job.Key.Reveal()
	same(t, []any{value, err}, []any{"value", nil})
	bytes, err := job.File.Read(5)
	same(t, []any{string(bytes), err}, []any{"hello", nil})
	_, err = job.File.Read(4)
	same(t, errors.Is(err, &trueup.Error{Fault: trueup.Invalid, Code: "blob.size"}), true)
	var starred Job
	if err := json.Unmarshal([]byte(`{"key":"***"}`), &starred); err != nil {
		t.Fatal(err)
	}
	_, err = starred.Key.Reveal()
	same(t, errors.Is(err, &trueup.Error{Fault: trueup.Invalid}), true)
}

func TestACacheIsLostAndALogIsKept(t *testing.T) {
	engine := start(t, notes, nil)
	engine.Apply()
	trueup.Cache.Put("a", []byte("b"), time.Minute)
	found, ok := trueup.Cache.Get("a")
	same(t, []any{string(found), ok}, []any{"b", true})
	engine.LoseCache()
	_, ok = trueup.Cache.Get("a")
	same(t, ok, false)
	trueup.Log.Warn("slow", "seconds", 3)
	same(t, slices.Contains(engine.Lines(), "warn slow seconds=3"), true)
}

func TestAnAuthorMayTakeFunctionsOverAndRefuseSettings(t *testing.T) {
	var config struct {
		Level int `json:"level" trueup:"default=7"`
	}
	provider := &trueup.Provider{
		Name: "x", Config: &config, Kinds: trueup.Kinds{&trueup.Kind[Job]{Key: "{name}"}},
		Scopes: func(kind string, _ *trueup.CallInfo) ([]string, error) {
			if kind == "Job" {
				return []string{"a", "b"}, nil
			}
			return nil, trueup.Errorf(trueup.Unsupported, "x.kind", "no %s here", kind)
		},
		Configure: func() error {
			if config.Level > 7 {
				return trueup.Errorf(trueup.Invalid, "x.level", "level %d is too high", config.Level).At("/level")
			}
			return nil
		},
		Extend: func(manifest map[string]any, exports *trueup.Exports) {
			manifest["features"] = append(manifest["features"].([]string), "planning")
			exports.Refine = func(candidates []contract.Candidate, _ *trueup.CallInfo) []contract.Verdict {
				return []contract.Verdict{{Case: contract.VerdictHold, Hold: candidates[0].Address.Key}}
			}
		},
	}
	engine := start(t, provider, nil)
	same(t, config.Level, 7)
	same(t, engine.Manifest()["features"], []any{"rendering", "discovery", "planning"})
	verdicts := contract.Served.Refine([]contract.Candidate{{Address: contract.Address{Key: "k"}}}, nil)
	same(t, verdicts[0].Hold, "k")
	same(t, contract.Served.Scopes("Job", nil).Ok, []string{"a", "b"})
	same(t, contract.Served.Scopes("Other", nil).Err.Fault.Case, contract.FaultUnsupported)
	done := contract.Served.Configure(`{"level":8}`, nil)
	same(t, []any{done.Err.Fault.Case, *done.Err.Diagnostics[0].Path}, []any{contract.FaultInvalid, "/level"})
	done = contract.Served.Configure(`{"level":"canary"}`, nil)
	same(t, strings.Contains(done.Err.Diagnostics[0].Summary, "canary"), false)
	same(t, done.Err.Fault.Case, contract.FaultInvalid)
}

func TestATagThatSaysNothingStopsTheFirstStart(t *testing.T) {
	type wrong struct {
		A string `json:"a" trueup:"imutable"`
	}
	type untold struct {
		A chan int `json:"a"`
	}
	for want, kinds := range map[string]trueup.Kinds{
		"`imutable` is no hint":    {&trueup.Kind[wrong]{}},
		"cannot stand in a docume": {&trueup.Kind[untold]{}},
		"names `nme`":              {&trueup.Kind[Job]{Key: "{nme}"}},
	} {
		func() {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, want) {
					t.Errorf("%s, not %s", text, want)
				}
			}()
			trueup.Serve(&trueup.Provider{Name: "x", Kinds: kinds})
		}()
	}
}
