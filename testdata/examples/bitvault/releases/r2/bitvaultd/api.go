package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// api is spoken by the gateway's clients behind the mesh, which has said who they are.
type api struct {
	store *store
}

func newAPI(s *store) http.Handler {
	a := &api{store: s}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", a.handle(a.health))
	mux.HandleFunc("POST /vaults", a.handle(a.createVault))
	mux.HandleFunc("GET /vaults/{id}", a.handle(a.getVault))
	mux.HandleFunc("PUT /vaults/{id}/quota", a.handle(a.setQuota))
	mux.HandleFunc("GET /vaults/{id}/files", a.handle(a.listFiles))
	mux.HandleFunc("PUT /vaults/{id}/files/{path...}", a.handle(a.putFile))
	mux.HandleFunc("GET /vaults/{id}/files/{path...}", a.handle(a.getFile))
	mux.HandleFunc("DELETE /vaults/{id}/files/{path...}", a.handle(a.deleteFile))
	mux.HandleFunc("POST /vaults/{id}/restored/{path...}", a.handle(a.restoreFile))
	return mux
}

func (a *api) health(r *http.Request) (any, error) {
	return map[string]string{"release": release}, a.store.ping(r.Context())
}

func (a *api) createVault(r *http.Request) (any, error) {
	in := struct {
		OwnerID    int64  `json:"owner_id"`
		Name       string `json:"name"`
		QuotaBytes int64  `json:"quota_bytes"`
	}{QuotaBytes: defaultQuota}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	return a.store.createVault(r.Context(), in.OwnerID, in.Name, in.QuotaBytes)
}

func (a *api) getVault(r *http.Request) (any, error) {
	id, err := vaultID(r)
	if err != nil {
		return nil, err
	}
	return a.store.vault(r.Context(), id)
}

func (a *api) setQuota(r *http.Request) (any, error) {
	in := struct {
		QuotaBytes int64 `json:"quota_bytes"`
	}{QuotaBytes: defaultQuota}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	id, err := vaultID(r)
	if err != nil {
		return nil, err
	}
	return nil, a.store.setQuota(r.Context(), id, in.QuotaBytes)
}

func (a *api) listFiles(r *http.Request) (any, error) {
	id, err := vaultID(r)
	if err != nil {
		return nil, err
	}
	return a.store.files(r.Context(), id, r.URL.Query().Get("sort") == "largest")
}

// putFile takes the description of a content that is in the object store already.
func (a *api) putFile(r *http.Request) (any, error) {
	var in struct {
		SizeBytes int64  `json:"size_bytes"`
		SHA256    []byte `json:"sha256"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	id, err := vaultID(r)
	if err != nil {
		return nil, err
	}
	return a.store.putFile(r.Context(), id, file{
		Path:       r.PathValue("path"),
		StorageKey: "sha256/" + hex.EncodeToString(in.SHA256),
		SizeBytes:  in.SizeBytes,
		SHA256:     in.SHA256,
	})
}

func (a *api) getFile(r *http.Request) (any, error) {
	id, err := vaultID(r)
	if err != nil {
		return nil, err
	}
	return a.store.file(r.Context(), id, r.PathValue("path"))
}

func (a *api) deleteFile(r *http.Request) (any, error) {
	id, err := vaultID(r)
	if err != nil {
		return nil, err
	}
	return nil, a.store.deleteFile(r.Context(), id, r.PathValue("path"))
}

func (a *api) restoreFile(r *http.Request) (any, error) {
	id, err := vaultID(r)
	if err != nil {
		return nil, err
	}
	return nil, a.store.restoreFile(r.Context(), id, r.PathValue("path"))
}

func vaultID(r *http.Request) (int64, error) {
	return strconv.ParseInt(r.PathValue("id"), 10, 64)
}

func (a *api) handle(serve func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := serve(r)
		var syntax *json.SyntaxError
		var number *strconv.NumError
		switch {
		case err == nil:
		case errors.Is(err, pgx.ErrNoRows):
			http.Error(w, "not found", http.StatusNotFound)
			return
		case errors.Is(err, errFull):
			http.Error(w, err.Error(), http.StatusInsufficientStorage)
			return
		case errors.As(err, &syntax), errors.As(err, &number):
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		default:
			slog.Error("request fails", "method", r.Method, "path", r.URL.Path, "error", err)
			http.Error(w, "internal error", http.StatusInternalServerError)
			return
		}
		if out == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(out); err != nil {
			slog.Error("answer is lost", "error", err)
		}
	}
}
