package refs

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The tables are those that pop v6 makes with flect v1.0.3.
func TestPopTable(t *testing.T) {
	for name, want := range map[string]string{
		"User": "users", "UserProfile": "user_profiles", "Person": "people", "Category": "categories", "Status": "", "Address": "addresses",
		"Service": "services", "Branch": "branches", "ApiKey": "api_keys", "Session": "sessions",
		// Two libraries would have different plurals, or may have.
		"Video": "", "Hero": "", "Price": "", "Media": "", "Virus": "", "Human": "", "Schema": "",
		// flect knows abbreviations that nothing tells.
		"OAuth2Client": "", "AWSAccount": "", "HTTPLog": "", "user": "", "": "",
	} {
		require.Equal(t, want, popTable(name), name)
	}
}
