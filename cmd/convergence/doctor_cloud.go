package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"

	"github.com/cloudact/convergence/cmd/internal/wiring"
	"github.com/cloudact/convergence/launcher/credentials"
)

const (
	priceAge       = 90 * 24 * time.Hour // after which a price table is old
	doctorPatience = 15 * time.Second    // of one question to a server
)

// checkPrices warns of a price table that new models may be missing from.
func checkPrices(all *diagnosis, env wiring.Environment) {
	label, date, err := wiring.PriceTable()
	switch {
	case err != nil:
		all.add(areaPrices, "price table", fail, err.Error(), "build the binary anew")
	case time.Since(date) > priceAge:
		all.add(areaPrices, "price table", warn, fmt.Sprintf("%s is %d days old", label, int(time.Since(date).Hours()/24)), "models that came later are unpriced: take a newer version, or set prices through /integrations/{org}/{provider}/pricing")
	default:
		all.add(areaPrices, "price table", pass, label, "")
	}
	if _, err := env.Catalog(); err != nil {
		all.add(areaFiles, "pipelines and schemas", fail, err.Error(), "correct the files that it names")
		return
	}
	all.add(areaFiles, "pipelines and schemas", pass, "can be read", "")
}

// checkStart says what would keep the service from starting in production. Elsewhere it
// is something to know.
func checkStart(all *diagnosis, env wiring.Environment) {
	strict := env
	strict.Name = "production"
	err := checkProduction(strict)
	if err == nil {
		all.add(areaProduction, "serve", pass, "would start in production", "")
		return
	}
	verdict, do := warn, "set it before ENVIRONMENT=production; development does without"
	if env.Production() {
		verdict, do = fail, "serve does not start until it is set"
	}
	var reasons interface{ Unwrap() []error }
	if errors.As(err, &reasons) {
		for _, reason := range reasons.Unwrap() {
			all.add(areaProduction, "serve", verdict, reason.Error(), do)
		}
	}
}

// checkWarehouse asks BigQuery and the KMS, and opens credentials.
func (a *app) checkWarehouse(ctx context.Context, all *diagnosis, orgs []string) {
	w, err := a.open(ctx)
	if err != nil {
		all.add(areaWarehouse, "connect", fail, err.Error(), "set GCP_PROJECT_ID and application default credentials, or unset what names another warehouse")
		return
	}
	defer w.close()
	if !checkBigQuery(ctx, all, w) {
		return
	}
	checkKMS(ctx, all, w)
	if a.checkTables(ctx, all, w) {
		checkCredentials(ctx, all, w, a.organisations(ctx, w, orgs))
	}
}

func checkBigQuery(ctx context.Context, all *diagnosis, w *warehouse) bool {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	where := "BigQuery of " + w.env.Project
	if w.env.Embedded() || w.local != nil {
		where = "embedded BigQuery"
	} else if w.env.BigQueryEndpoint != "" {
		where = "BigQuery at " + w.env.BigQueryEndpoint
	}
	_, err := w.BigQuery.Datasets(ctx).Next()
	if err != nil && !errors.Is(err, iterator.Done) {
		all.add(areaWarehouse, where, fail, "does not answer: "+err.Error(), "check the network, the project and the rights (bigquery.datasets.get, bigquery.jobs.create)")
		return false
	}
	all.add(areaWarehouse, where, pass, "answers", "")
	return true
}

func checkKMS(ctx context.Context, all *diagnosis, w *warehouse) {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	key := w.env.KMSKey
	if key == "" {
		key = credentials.DefaultKeyName(w.env.Project)
	}
	if _, err := w.KMS.Encrypt(ctx, &kmspb.EncryptRequest{Name: key, Plaintext: []byte("doctor")}); err != nil {
		all.add(areaWarehouse, "KMS key "+key, fail, "does not encrypt: "+err.Error(), "set KMS_KEY_NAME to a key on which this account is cloudkms.cryptoKeyEncrypterDecrypter")
		return
	}
	all.add(areaWarehouse, "KMS key "+key, pass, "encrypts", "")
}

// checkTables looks for the central tables. That none is there yet is how a new warehouse is.
func (a *app) checkTables(ctx context.Context, all *diagnosis, w *warehouse) bool {
	catalog, err := w.env.Catalog()
	if err != nil {
		return false // it has been reported
	}
	ctx, cancel := context.WithTimeout(ctx, 2*doctorPatience)
	defer cancel()
	var missing []string
	tables := catalog.Central()
	for _, t := range tables {
		_, err := w.BigQuery.Dataset(wiring.CentralDataset).Table(t.Name).Metadata(ctx)
		var answer *googleapi.Error
		switch {
		case err == nil:
		case errors.As(err, &answer) && answer.Code == http.StatusNotFound:
			missing = append(missing, t.Name)
		default:
			all.add(areaWarehouse, "central tables", fail, err.Error(), "give this account bigquery.tables.get on dataset "+wiring.CentralDataset)
			return false
		}
	}
	slices.Sort(missing)
	switch {
	case len(missing) == len(tables):
		all.add(areaWarehouse, "central tables", warn, "none is there yet", "serve, run and credentials set make them")
		return false
	case len(missing) > 0:
		all.add(areaWarehouse, "central tables", warn, fmt.Sprintf("%d of %d are missing: %v", len(missing), len(tables), missing), "serve, run and credentials set make them")
		return !slices.Contains(missing, "org_integration_credentials")
	}
	all.add(areaWarehouse, "central tables", pass, fmt.Sprintf("all %d are there", len(tables)), "")
	return true
}

// organisations are those that were named, else the datasets of this environment.
func (a *app) organisations(ctx context.Context, w *warehouse, named []string) []string {
	if len(named) > 0 {
		return named
	}
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	var out []string
	suffix := "_" + w.env.Suffix()
	for it := w.BigQuery.Datasets(ctx); ; {
		d, err := it.Next()
		if err != nil {
			return out // the end, or what the checks before have reported
		}
		if org, ok := cutOrg(d, suffix); ok {
			out = append(out, org)
		}
	}
}

func cutOrg(d *bigquery.Dataset, suffix string) (string, bool) {
	name := d.DatasetID
	if len(name) <= len(suffix) || name[len(name)-len(suffix):] != suffix {
		return "", false
	}
	org := name[:len(name)-len(suffix)]
	return org, orgSlug.MatchString(org)
}

// checkCredentials opens every credential and throws it away.
func checkCredentials(ctx context.Context, all *diagnosis, w *warehouse, orgs []string) {
	for _, org := range orgs {
		infos, err := w.Credentials.List(ctx, org)
		if err != nil {
			all.add(areaCredentials, org, fail, err.Error(), "check the rights on dataset "+wiring.CentralDataset)
			continue
		}
		if len(infos) == 0 {
			all.add(areaCredentials, org, warn, "has none", "convergence credentials set PROVIDER --org "+org)
		}
		for _, info := range infos {
			name := org + " " + info.Provider
			again := "convergence credentials set " + info.Provider + " --org " + org
			_, err := w.Credentials.ResolveActive(ctx, org, info.Provider)
			switch {
			case err != nil:
				all.add(areaCredentials, name, fail, "cannot be opened: "+err.Error(), again)
			case info.Status != credentials.Valid:
				all.add(areaCredentials, name, warn, "is "+string(info.Status)+"; pipelines do not use it", again)
			default:
				all.add(areaCredentials, name, pass, "is VALID and can be opened", "")
			}
		}
	}
}

// keysFileIn is where serve --local keeps API keys.
func keysFileIn(dir string) string { return filepath.Join(dir, keysFile) }

// checkKeysFile finds out whether other users could read development keys.
func checkKeysFile(all *diagnosis, dir string) {
	info, err := os.Stat(keysFileIn(dir))
	if err != nil {
		return // there is none
	}
	const others = 0o077
	if info.Mode().Perm()&others != 0 {
		all.add(areaFiles, keysFileIn(dir), fail, fmt.Sprintf("is open to other users (mode %04o)", info.Mode().Perm()), "chmod 600 "+keysFileIn(dir))
		return
	}
	all.add(areaFiles, keysFileIn(dir), pass, "is this user's alone", "")
}
