package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// errUnauthorized says that the request carries no open session.
var errUnauthorized = errors.New("no session")

type api struct {
	store *store
}

func newAPI(s *store) http.Handler {
	a := &api{store: s}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", a.handle(a.health))
	mux.HandleFunc("POST /users", a.handle(a.createUser))
	mux.HandleFunc("GET /users/{id}", a.handle(a.getUser))
	mux.HandleFunc("PUT /me/email", a.handle(a.changeEmail))
	mux.HandleFunc("POST /sessions", a.handle(a.createSession))
	mux.HandleFunc("DELETE /sessions", a.handle(a.endSession))
	mux.HandleFunc("POST /shares", a.handle(a.createShare))
	mux.HandleFunc("GET /shares", a.handle(a.listShares))
	mux.HandleFunc("GET /shares/{token}", a.handle(a.openShare))
	mux.HandleFunc("DELETE /shares/{token}", a.handle(a.endShare))
	return mux
}

func (a *api) health(r *http.Request) (any, error) {
	return map[string]string{"release": release}, a.store.ping(r.Context())
}

func (a *api) createUser(r *http.Request) (any, error) {
	var in struct {
		Email       string `json:"email"`
		DisplayName string `json:"display_name"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	return a.store.createUser(r.Context(), in.Email, in.DisplayName)
}

func (a *api) getUser(r *http.Request) (any, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return nil, err
	}
	return a.store.user(r.Context(), id)
}

func (a *api) changeEmail(r *http.Request) (any, error) {
	var in struct {
		Email string `json:"email"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	me, err := a.me(r)
	if err != nil {
		return nil, err
	}
	return nil, a.store.changeEmail(r.Context(), me.ID, in.Email)
}

func (a *api) createSession(r *http.Request) (any, error) {
	var in struct {
		Email string `json:"email"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	token := rand.Text()
	hash := sha256.Sum256([]byte(token))
	return map[string]string{"token": token}, a.store.createSession(r.Context(), hash[:], in.Email)
}

func (a *api) endSession(r *http.Request) (any, error) {
	return nil, a.store.endSession(r.Context(), tokenHash(r))
}

func (a *api) createShare(r *http.Request) (any, error) {
	in := struct {
		FileID     int64  `json:"file_id"`
		Permission string `json:"permission"`
	}{Permission: "read"}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	me, err := a.me(r)
	if err != nil {
		return nil, err
	}
	sh := share{Token: rand.Text(), FileID: in.FileID, Permission: in.Permission, ExpiresAt: time.Now().AddDate(0, 0, 7)}
	return sh, a.store.createShare(r.Context(), me.ID, sh)
}

func (a *api) listShares(r *http.Request) (any, error) {
	me, err := a.me(r)
	if err != nil {
		return nil, err
	}
	return a.store.shares(r.Context(), me.ID)
}

func (a *api) openShare(r *http.Request) (any, error) {
	return a.store.openShare(r.Context(), r.PathValue("token"))
}

func (a *api) endShare(r *http.Request) (any, error) {
	me, err := a.me(r)
	if err != nil {
		return nil, err
	}
	return nil, a.store.endShare(r.Context(), me.ID, r.PathValue("token"))
}

// me is the user whose session the request carries.
func (a *api) me(r *http.Request) (user, error) {
	u, err := a.store.sessionUser(r.Context(), tokenHash(r))
	if errors.Is(err, pgx.ErrNoRows) {
		return user{}, errUnauthorized
	}
	return u, err
}

func tokenHash(r *http.Request) []byte {
	hash := sha256.Sum256([]byte(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")))
	return hash[:]
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
		case errors.Is(err, errUnauthorized):
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		case errors.Is(err, errTaken):
			http.Error(w, err.Error(), http.StatusConflict)
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
