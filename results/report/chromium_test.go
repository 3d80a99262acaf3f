package report

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	imagedraw "image/draw"
	"image/png"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"mslab/results"
)

var update = flag.Bool("update", false, "write docs/img/report-*.png anew (TestScreenshots)")

// browser starts one Chromium without a window; it ends with the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		t.Skip("no chromium on this machine; Debian's package chromium brings it")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()),
		chromedp.WSURLReadTimeout(50*time.Second))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's own sandbox refuses root
	}
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewContext(allocator)
	t.Cleanup(stop)
	if err := chromedp.Run(ctx); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits until it has ended
	return ctx
}

// tab is one page under watch: what it said on the console and asked for.
type tab struct {
	ctx context.Context
	url string

	mu       sync.Mutex
	said     []string
	requests []string
}

func openTab(t *testing.T, ctx context.Context, file string, before ...chromedp.Action) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, stop := context.WithTimeout(ctx, 120*time.Second)
	t.Cleanup(stop)
	p := &tab{ctx: ctx, url: (&url.URL{Scheme: "file", Path: file}).String()}
	chromedp.ListenTarget(ctx, p.watch)
	actions := append([]chromedp.Action{network.Enable(), log.Enable(), runtime.Enable()}, before...)
	p.run(t, append(actions, chromedp.Navigate(p.url), chromedp.WaitReady("footer"))...)
	return p
}

func (p *tab) watch(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.said = append(p.said, e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		for _, argument := range e.Args {
			p.said = append(p.said, string(e.Type)+": "+string(argument.Value)+argument.Description)
		}
	case *log.EventEntryAdded:
		p.said = append(p.said, e.Entry.Text)
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	}
}

func (p *tab) run(t *testing.T, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(p.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

func ask[T any](t *testing.T, p *tab, script string) T {
	t.Helper()
	var answer T
	p.run(t, chromedp.Evaluate(script, &answer))
	return answer
}

// quiet holds the page to no word on the console and no request but for itself.
func (p *tab) quiet(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, said := range p.said {
		t.Errorf("the console has: %s", said)
	}
	for i, asked := range p.requests {
		if i > 0 && !strings.HasPrefix(asked, "data:") || i == 0 && asked != p.url {
			t.Errorf("the page asked for %s", asked)
		}
	}
	if len(p.requests) == 0 {
		t.Error("no request was seen, not even that for the page: the watch does not work")
	}
}

func write(t *testing.T, name string, runs ...*results.Run) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name+".html")
	if err := os.WriteFile(file, []byte(drawn(t, runs...)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// inked says of each canvas how many pixels are drawn and in how many colours.
const inked = `[...document.querySelectorAll("canvas")].map(c => {
	const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
	const seen = new Set(); let n = 0;
	for (let i = 0; i < d.length; i += 4) if (d[i+3] > 200) { n++; seen.add(d[i] << 16 | d[i+1] << 8 | d[i+2]); }
	return {pixels: n, colours: seen.size};
})`

type ink struct{ Pixels, Colours int }

func TestInChromium(t *testing.T) {
	ctx := browser(t)
	phases := write(t, "phases", reference(t, "phases"))
	shows, foreign := write(t, "shows", reference(t, "shows")), write(t, "foreign", foreignRun(t, 3))
	for name, file := range map[string]string{
		"phases": phases,
		"faults": write(t, "partition", open(t, "testdata/partition")),
		"shows":  shows,
		"many runs": write(t, "many", reference(t, "headline"), reference(t, "overflow"),
			foreignRun(t, 9)),
	} {
		t.Run(name, func(t *testing.T) {
			p := openTab(t, ctx, file)
			plots := ask[int](t, p, `JSON.parse(document.getElementById("data").textContent).reduce((n, f) => n + f.plots.length, 0)`)
			canvases := ask[[]ink](t, p, inked)
			if len(canvases) != plots || plots == 0 {
				t.Errorf("%d canvases of %d plots", len(canvases), plots)
			}
			for i, c := range canvases {
				if c.Pixels < 300 || c.Colours < 3 {
					t.Errorf("canvas %d: %d pixels drawn in %d colours", i, c.Pixels, c.Colours)
				}
			}
			if alerted := ask[int](t, p, `document.querySelectorAll("main img, main script").length`); alerted != 0 {
				t.Errorf("%d elements came out of names", alerted)
			}
			p.quiet(t)
		})
	}
	t.Run("phone", func(t *testing.T) {
		for _, file := range []string{phases, foreign, shows} {
			p := openTab(t, ctx, file, emulation.SetDeviceMetricsOverride(360, 740, 2, true))
			if width := ask[int](t, p, `document.scrollingElement.scrollWidth`); width > 360 {
				t.Errorf("%s is %d px wide on a phone of 360; the widest: %s", filepath.Base(file), width, ask[string](t, p, widest))
			}
			p.run(t, chromedp.Evaluate(`document.querySelectorAll("details").forEach(d => { d.open = true; })`, nil))
			if width := ask[int](t, p, `document.scrollingElement.scrollWidth`); width > 360 {
				t.Errorf("%s with its tables open is %d px wide on a phone of 360; the widest: %s", filepath.Base(file), width, ask[string](t, p, widest))
			}
			p.quiet(t)
		}
	})
	t.Run("dark", func(t *testing.T) {
		p := openTab(t, ctx, phases)
		light := ask[string](t, p, `document.querySelector("canvas").toDataURL()`)
		p.run(t, emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}),
			chromedp.Poll(fmt.Sprintf(`document.querySelector("canvas").toDataURL() !== %q`, light), nil, chromedp.WithPollingTimeout(10*time.Second)))
		if paper := ask[string](t, p, `getComputedStyle(document.body).backgroundColor`); paper != "rgb(20, 23, 27)" {
			t.Errorf("paper in the dark is %s", paper)
		}
		p.quiet(t)
	})
	t.Run("keyboard", func(t *testing.T) { keyboard(t, openTab(t, ctx, phases)) })
	t.Run("print", func(t *testing.T) {
		p := openTab(t, ctx, phases)
		var pdf []byte
		p.run(t, chromedp.ActionFunc(func(ctx context.Context) (err error) {
			pdf, _, err = cdpage.PrintToPDF().Do(ctx)
			return err
		}))
		if pages := bytes.Count(pdf, []byte("/Type /Page\n")); !bytes.HasPrefix(pdf, []byte("%PDF")) || pages < 5 || pages > 60 {
			t.Errorf("printed %d bytes, %d pages", len(pdf), pages)
		}
		if left := ask[int](t, p, `document.querySelectorAll("details[open]").length`); left != 0 {
			t.Errorf("%d tables are left open after printing", left)
		}
		p.quiet(t)
	})
}

// widest names the element that reaches farthest to the right outside of boxes
// that scroll.
const widest = `(() => { let worst = [0, ""]; for (const e of document.querySelectorAll("main *, header *, footer *")) {
	if (e.closest(".scroll") && !e.matches(".scroll")) continue;
	const r = e.getBoundingClientRect().right; if (r > worst[0]) worst = [r, e.outerHTML.slice(0, 120)]; } return worst.join(" "); })()`

// keyboard goes through the page by Tab and reads each plot by arrow keys.
func keyboard(t *testing.T, p *tab) {
	plots := ask[int](t, p, `document.querySelectorAll(".plot").length`)
	reached := map[string]bool{}
	for range 12 * plots {
		p.run(t, chromedp.KeyEvent(kb.Tab))
		id := ask[string](t, p, `document.activeElement.matches(".plot") ? document.activeElement.closest(".figure").id : ""`)
		if id == "" || reached[id] {
			continue
		}
		reached[id] = true
		readout := fmt.Sprintf(`document.querySelector("#%s .readout").textContent`, id)
		first := ask[string](t, p, readout)
		p.run(t, chromedp.KeyEvent(kb.ArrowRight), chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.ArrowRight))
		if second := ask[string](t, p, readout); first == "" || second == "" || first == second || !strings.ContainsAny(second, "0123456789") {
			t.Errorf("plot %s reads out %q, and after three arrows %q", id, first, second)
		}
		if len(reached) == plots {
			break
		}
	}
	if len(reached) != plots {
		t.Errorf("Tab reached %d of %d plots", len(reached), plots)
	}
	p.quiet(t)
}

const mostBytes = 250_000 // of a picture in the documents

func screenshot(name string) string {
	return filepath.Join("..", "..", "docs", "img", "report-"+name+".png")
}

// TestScreenshots holds the pictures of the documents to their size, and with
// -update draws them anew.
func TestScreenshots(t *testing.T) {
	if !*update {
		for _, name := range []string{"light", "dark", "phone"} {
			data, err := os.ReadFile(screenshot(name))
			if err != nil || len(data) > mostBytes || !bytes.HasPrefix(data, []byte("\x89PNG")) {
				t.Errorf("%s: %d bytes, %v; go test ./results/report -run Screenshots -update draws it anew", screenshot(name), len(data), err)
			}
		}
		return
	}
	ctx := browser(t)
	phases := write(t, "phases", reference(t, "phases"))
	for _, shot := range []struct {
		name          string
		width, height int64
		scale         float64
		theme         string
	}{{"light", 1000, 1640, 1.25, "light"}, {"dark", 1000, 1640, 1.25, "dark"}, {"phone", 360, 1000, 2, "light"}} {
		p := openTab(t, ctx, phases, emulation.SetDeviceMetricsOverride(shot.width, shot.height, shot.scale, false),
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: shot.theme}}))
		if shot.name == "phone" {
			p.run(t, chromedp.Evaluate(`document.querySelector(".figure").scrollIntoView()`, nil))
		}
		var picture []byte
		p.run(t, chromedp.CaptureScreenshot(&picture))
		picture = fewColours(t, picture)
		if len(picture) > mostBytes {
			t.Errorf("report-%s.png has %d bytes", shot.name, len(picture))
		}
		if err := os.WriteFile(screenshot(shot.name), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// fewColours makes the picture one of 256 colours, the most frequent ones: a
// third of its size, and on a page of text and lines no difference to the eye.
func fewColours(t *testing.T, encoded []byte) []byte {
	t.Helper()
	picture, err := png.Decode(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	bounds := picture.Bounds()
	counts := map[color.RGBA]int{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)
			counts[c]++
			if max(c.R, c.G, c.B)-min(c.R, c.G, c.B) > 50 {
				counts[c] += 50 // few pixels, and what tells the subjects apart
			}
		}
	}
	used := slices.SortedFunc(maps.Keys(counts), func(a, b color.RGBA) int {
		return cmp.Or(counts[b]-counts[a], cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	})
	var palette color.Palette
	for _, c := range used[:min(len(used), 256)] {
		palette = append(palette, c)
	}
	few := image.NewPaletted(bounds, palette)
	imagedraw.Draw(few, bounds, picture, bounds.Min, imagedraw.Src)
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, few); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
