package source

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/civil"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/cloudact/convergence/transforms/row"
)

func init() {
	register.DoFn3x0[context.Context, row.Page, func(row.Page)](&Decode{})
}

// Decode reads the bodies of pages into rows of its schema. Records that do not fit
// become rejects with their exact text; a body that is no valid JSON fails its page.
// Pages with a Failure pass unchanged.
type Decode struct {
	StepID      string
	Schema      row.Schema
	Fingerprint string
	Layout      layout

	reader    *reader
	constants map[string][]row.Cell
	rows      beam.Counter
}

// Setup compiles paths, columns and constants.
func (d *Decode) Setup(context.Context) error {
	if got := d.Schema.Fingerprint(); got != d.Fingerprint {
		return fmt.Errorf("step %s: its schema has fingerprint %s, it was built for %s", d.StepID, got, d.Fingerprint)
	}
	var err error
	if d.reader, err = newReader(d.Schema, d.Layout); err != nil {
		return fmt.Errorf("step %s: %w", d.StepID, err)
	}
	if d.constants, err = d.Layout.compiledConstants(d.Schema); err != nil {
		return fmt.Errorf("step %s: %w", d.StepID, err)
	}
	d.rows = beam.NewCounter(d.StepID, "decoded_rows")
	return nil
}

// ProcessElement decodes one page.
func (d *Decode) ProcessElement(ctx context.Context, page row.Page, emit func(row.Page)) {
	if page.Failure == nil && len(page.Body) > 0 {
		constants, known := d.constants[constantsKey(page.Unit, page.Partition)]
		if !known {
			page.Failure = &row.Failure{Code: codeConfig, Message: fmt.Sprintf("page of partition %s that step %s does not have", page.Partition, d.StepID)}
		} else if err := d.reader.read(&page, constants, d.StepID); err != nil {
			page.Failure = unbelievable(err)
			page.Failure.Message = page.Partition + ": " + page.Failure.Message
		}
	}
	page.Body = nil
	d.rows.Inc(ctx, int64(len(page.Rows)))
	emit(page)
}

// fetchedCell is the arrival time of a page in the type that a schema gives it.
func fetchedCell(micros int64, t row.Type) (row.Cell, error) {
	at := time.UnixMicro(micros).UTC()
	switch t {
	case row.TypeTimestamp:
		return row.Timestamp(at), nil
	case row.TypeDate:
		return row.Date(civil.DateOf(at)), nil
	case row.TypeString:
		return row.String(at.Format(time.RFC3339Nano)), nil
	default:
		return row.Null(), failf(codeConfig, "the arrival time cannot be stored as %s: use TIMESTAMP", t)
	}
}
