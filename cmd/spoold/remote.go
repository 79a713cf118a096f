package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold/cmd/spoold/internal/admin"
)

// remoteCommands can ask a daemon on another host.
var remoteCommands = []string{"status", "ls", "peek", "export", "resolve", "dlq", "txn"}

// Credentials are in the environment or in a file: whoever may list processes can read a command line.
const (
	tokenEnv    = "SPOOLD_ADMIN_TOKEN"
	userEnv     = "SPOOLD_ADMIN_USER"
	passwordEnv = "SPOOLD_ADMIN_PASSWORD"
)

// addRemoteFlags gives a command, or each of its subcommands, the flags of a daemon on another host.
func addRemoteFlags(cmd *cli.Command) {
	for _, sub := range cmd.Subcommands {
		addRemoteFlags(sub)
	}
	if len(cmd.Subcommands) > 0 {
		return
	}
	cmd.Flags = append(cmd.Flags,
		&cli.StringFlag{Name: "url", Usage: "`URL` of a daemon's admin listener (https://HOST:9095) instead of --spool; credentials are in " + tokenEnv + ", or " + userEnv + " and " + passwordEnv + ", or --credentials"},
		&cli.StringFlag{Name: "credentials", Usage: "`FILE` with a token, or user:password, that nobody else may read; for --url"},
		&cli.StringFlag{Name: "ca", Usage: "PEM `FILE` of the authorities that the daemon's certificate may be from; for --url; default: the system's"},
		&cli.StringFlag{Name: "client-certificate", Usage: "PEM `FILE` with a certificate and its private key, to be known by; for --url"},
	)
}

// askRemote has the command's clients ask the daemon at an address.
func askRemote(w *world, c *cli.Context, text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		return usagef("--url: want http://HOST:PORT or https://HOST:PORT of a daemon's admin listener")
	case u.User != nil:
		return usagef("--url: holds credentials, which everybody who may list processes can read: give them in %s or --credentials FILE", tokenEnv)
	case c.IsSet("spool") || c.IsSet("config"):
		return usagef("--url and --spool or -c: give one of them")
	}
	authorization, err := credentials(w, c)
	if err != nil {
		return err
	}
	if authorization != "" && u.Scheme == "http" && !localHost(u.Hostname()) {
		return usagef("--url: %s has no TLS: credentials would be sent there in clear; use https", u.Host)
	}
	config, err := remoteTLS(c)
	if err != nil {
		return err
	}
	c.Context = admin.NewRemote(u.Scheme+"://"+u.Host, authorization, config).With(c.Context)
	return nil
}

func localHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// credentials are what to send as Authorization; "": nothing. No error holds them.
func credentials(w *world, c *cli.Context) (string, error) {
	token, user := w.env(tokenEnv), w.env(userEnv)
	if file := c.String("credentials"); file != "" {
		text, err := privateFile(file)
		if err != nil {
			return "", exitf(exitConfig, "--credentials: %w", err)
		}
		name, password, ok := strings.Cut(strings.TrimRight(string(text), "\r\n"), ":")
		if ok {
			return basicAuth(name, password), nil
		}
		token, user = name, ""
	}
	switch {
	case token != "" && user != "":
		return "", usagef("%s and %s are both set: give one of them", tokenEnv, userEnv)
	case strings.ContainsAny(token, " \r\n\t"):
		return "", usagef("the token has a space or a line end")
	case token != "":
		return "Bearer " + token, nil
	case user != "":
		return basicAuth(user, w.env(passwordEnv)), nil
	}
	return "", nil
}

func basicAuth(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// privateFile reads a small file that holds a secret. One that others may read is refused.
func privateFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > 64<<10:
		return nil, errors.New(path + " is not a small file")
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s may be read by other users (its mode is %03o): chmod 600 %s", path, info.Mode().Perm(), path)
	}
	text, err := os.ReadFile(path)
	if err == nil && len(bytes.TrimSpace(text)) == 0 {
		err = errors.New(path + " is empty")
	}
	return text, err
}

// remoteTLS is what the daemon's certificate must be, and one's own.
func remoteTLS(c *cli.Context) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := c.String("ca"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, exitf(exitConfig, "--ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, exitf(exitConfig, "--ca: %s holds no certificate in PEM", file)
		}
	}
	if file := c.String("client-certificate"); file != "" {
		pair, err := tls.LoadX509KeyPair(file, file)
		if err != nil {
			return nil, exitf(exitConfig, "--client-certificate: %s: %w", file, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
