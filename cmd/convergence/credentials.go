package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/cloudact/convergence/cmd/internal/wiring"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher/credentials"
)

const maxCredential = 64 << 10

func (a *app) credentialsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "credentials", Short: "Keep provider credentials, encrypted by KMS",
		Example: "  convergence credentials set OPENAI --org acme --from-env OPENAI_ADMIN_KEY\n  convergence credentials list --org acme",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q; there are set, validate, list and delete", args[0])}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.setCredential(), a.validateCredential(), a.listCredentials(), a.deleteCredential())
	return c
}

func (a *app) setCredential() *cobra.Command {
	var org, fromEnv, fromFile string
	c := &cobra.Command{
		Use:     "set PROVIDER [-]",
		Short:   "Try a credential, encrypt it and store it for an organisation",
		Long:    "The secret comes from an environment variable, a file, or standard input (-), never from an\nargument, where other users of the machine could read it. One that the provider refuses is stored as\nINVALID, which pipelines do not use.",
		Example: "  convergence credentials set OPENAI --org acme --from-env OPENAI_ADMIN_KEY\n  pass openai/admin | convergence credentials set OPENAI --org acme -",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkOrg(org); err != nil {
				return err
			}
			secret, err := readSecret(c.InOrStdin(), fromEnv, fromFile, len(args) == 2 && args[1] == "-")
			if err != nil {
				return err
			}
			catalog, err := a.env.Catalog()
			if err != nil {
				return err
			}
			provider, err := lookUpProvider(catalog, args[0])
			if err != nil {
				return err
			}
			if known, ok := a.directory(catalog).Provider(org, provider.Name); ok {
				if err := known.CheckForm(credentials.NewSecret(secret)); err != nil {
					return err
				}
			}
			w, err := a.openCredentials(c.Context(), catalog)
			if err != nil {
				return err
			}
			defer w.close()
			integrations, err := a.integrations(w, catalog)
			if err != nil {
				return err
			}
			got, err := integrations.Setup(c.Context(), credentials.SetupRequest{
				Org: org, Provider: provider.Name, Name: provider.DisplayName, Secret: credentials.NewSecret(secret), Trust: true,
			})
			if err != nil {
				return err
			}
			switch got.Status {
			case credentials.Failed:
				return errors.New(got.Problem)
			case credentials.Invalid:
				return fmt.Errorf("stored credential %s of %s for %s as INVALID, which pipelines do not use: %s", got.CredentialID, provider.Name, org, got.Problem)
			}
			if got.Problem != "" {
				fmt.Fprintf(a.err, "warning: the credential was not checked: %s\n", got.Problem)
			}
			fmt.Fprintf(a.out, "stored credential %s of %s for %s\n", got.CredentialID, provider.Name, org)
			return nil
		},
	}
	c.Flags().StringVar(&org, "org", defaultOrg, "organisation")
	c.Flags().StringVar(&fromEnv, "from-env", "", "name of the environment variable that holds the secret")
	c.Flags().StringVar(&fromFile, "from-file", "", "file that holds the secret")
	return c
}

// readSecret takes the secret from exactly one place.
func readSecret(in io.Reader, fromEnv, fromFile string, stdin bool) (string, error) {
	var text string
	switch {
	case fromEnv != "" && fromFile == "" && !stdin:
		text = os.Getenv(fromEnv)
		if text == "" {
			return "", fmt.Errorf("the environment variable %s is empty", fromEnv)
		}
	case fromFile != "" && fromEnv == "" && !stdin:
		b, err := os.ReadFile(fromFile)
		if err != nil {
			return "", fmt.Errorf("read secret: %w", err)
		}
		text = string(b)
	case stdin && fromEnv == "" && fromFile == "":
		b, err := io.ReadAll(io.LimitReader(bufio.NewReader(in), maxCredential+1))
		if err != nil {
			return "", fmt.Errorf("read secret from standard input: %w", err)
		}
		text = string(b)
	default:
		return "", usageError{errors.New("say where the secret comes from: --from-env NAME, --from-file FILE or - for standard input, and only one of them")}
	}
	text = strings.TrimSpace(text)
	if text == "" || len(text) > maxCredential {
		return "", fmt.Errorf("the secret is empty or longer than %d bytes", maxCredential)
	}
	return text, nil
}

// integrations are the set-up and live checks of credentials; a VALID one gets its tables.
func (a *app) integrations(w *warehouse, catalog *configs.Catalog) (*credentials.Integrations, error) {
	tables, err := w.env.PriceStore(w.BigQuery, catalog.Providers())
	if err != nil {
		return nil, err
	}
	return w.env.Integrations(w.Credentials, a.directory(catalog), wiring.PreparePrices(tables, catalog.Providers())), nil
}

// directory is what the catalogue knows of providers.
func (a *app) directory(catalog *configs.Catalog) wiring.Directory {
	return wiring.Directory{Environment: a.env, Of: func(string) configs.Providers { return catalog.Providers() }}
}

func (a *app) validateCredential() *cobra.Command {
	var org string
	c := &cobra.Command{
		Use: "validate PROVIDER", Short: "Try an organisation's credential against its provider", Example: "  convergence credentials validate OPENAI --org acme", Args: exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkOrg(org); err != nil {
				return err
			}
			catalog, err := a.env.Catalog()
			if err != nil {
				return err
			}
			provider, err := lookUpProvider(catalog, args[0])
			if err != nil {
				return err
			}
			w, err := a.openCredentials(c.Context(), catalog)
			if err != nil {
				return err
			}
			defer w.close()
			integrations, err := a.integrations(w, catalog)
			if err != nil {
				return err
			}
			got, err := integrations.Validate(c.Context(), org, provider.Name)
			if err != nil {
				return err
			}
			if got.Status != credentials.Valid {
				return fmt.Errorf("%s: %s", got.Status, got.Message)
			}
			fmt.Fprintf(a.out, "%s: %s\n", got.Status, got.Message)
			return nil
		},
	}
	c.Flags().StringVar(&org, "org", defaultOrg, "organisation")
	return c
}

func lookUpProvider(catalog *configs.Catalog, name string) (configs.Provider, error) {
	p, ok := catalog.Providers().Lookup(name)
	if !ok {
		return p, fmt.Errorf("unknown provider %q; there are %s", name, strings.Join(catalog.Providers().Names(), ", "))
	}
	if p.AliasFor != "" { // its credentials are kept under one name
		return lookUpProvider(catalog, p.AliasFor)
	}
	return p, nil
}

// openCredentials opens the warehouse with its central tables.
func (a *app) openCredentials(ctx context.Context, catalog *configs.Catalog) (*warehouse, error) {
	w, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := openStore(ctx, w, catalog); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (a *app) listCredentials() *cobra.Command {
	var org string
	c := &cobra.Command{
		Use: "list", Short: "List an organisation's credentials, without secrets", Example: "  convergence credentials list --org acme", Args: exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkOrg(org); err != nil {
				return err
			}
			catalog, err := a.env.Catalog()
			if err != nil {
				return err
			}
			w, err := a.openCredentials(c.Context(), catalog)
			if err != nil {
				return err
			}
			defer w.close()
			infos, err := w.Credentials.List(c.Context(), org)
			if err != nil {
				return err
			}
			return a.printCredentials(infos)
		},
	}
	c.Flags().StringVar(&org, "org", defaultOrg, "organisation")
	return c
}

func (a *app) printCredentials(infos []credentials.Info) error {
	if a.output == outputJSON {
		return json.NewEncoder(a.out).Encode(infos)
	}
	t := table.NewWriter()
	t.SetOutputMirror(a.out)
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"provider", "name", "status", "created", "id"})
	for _, i := range infos {
		t.AppendRow(table.Row{i.Provider, i.Name, i.Status, i.Created.Format("2006-01-02 15:04"), i.ID})
	}
	t.Render()
	return nil
}

func (a *app) deleteCredential() *cobra.Command {
	var org string
	c := &cobra.Command{
		Use: "delete PROVIDER", Short: "Deactivate an organisation's credential", Example: "  convergence credentials delete OPENAI --org acme", Args: exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkOrg(org); err != nil {
				return err
			}
			catalog, err := a.env.Catalog()
			if err != nil {
				return err
			}
			provider, err := lookUpProvider(catalog, args[0])
			if err != nil {
				return err
			}
			w, err := a.openCredentials(c.Context(), catalog)
			if err != nil {
				return err
			}
			defer w.close()
			infos, err := w.Credentials.List(c.Context(), org)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(infos, func(i credentials.Info) bool { return i.Provider == provider.Name }) {
				return fmt.Errorf("%s has no active credential of %s", org, provider.Name)
			}
			if err := w.Credentials.Delete(c.Context(), org, provider.Name); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "deactivated the credential of %s for %s\n", provider.Name, org)
			return nil
		},
	}
	c.Flags().StringVar(&org, "org", defaultOrg, "organisation")
	return c
}
