package parse

import (
	"strings"

	"github.com/bitvault/pawl/phases"
	pg "github.com/pganalyze/pg_query_go/v5"
)

// roles holds the statements about roles and privileges.
func (s *statement) roles(node *pg.Node) []phases.Operation {
	switch v := node.GetNode().(type) {
	case *pg.Node_CreateRoleStmt:
		op := s.make("create_role", phases.Object{Kind: phases.Role, Name: v.CreateRoleStmt.Role})
		op.Names, _ = options(v.CreateRoleStmt.Options)
		return []phases.Operation{op}
	case *pg.Node_AlterRoleStmt:
		return s.alterRole(v.AlterRoleStmt)
	case *pg.Node_AlterRoleSetStmt:
		return s.setting("alter_role_setting", phases.Object{Kind: phases.Role, Name: role(v.AlterRoleSetStmt.Role)}, v.AlterRoleSetStmt.Setstmt)
	case *pg.Node_DropRoleStmt:
		var ops []phases.Operation
		for _, n := range v.DropRoleStmt.Roles {
			op := s.make("drop_role", phases.Object{Kind: phases.Role, Name: word(n)})
			op.Flags = flag(phases.IfExists, v.DropRoleStmt.MissingOk)
			ops = append(ops, op)
		}
		return ops
	case *pg.Node_DropOwnedStmt:
		op := s.make("drop_owned", phases.Object{Kind: phases.Role, Name: word(first(v.DropOwnedStmt.Roles))})
		op.Roles = words(v.DropOwnedStmt.Roles)
		op.Flags = cascade(v.DropOwnedStmt.Behavior)
		return []phases.Operation{op}
	case *pg.Node_ReassignOwnedStmt:
		op := s.make("reassign_owned", phases.Object{Kind: phases.Role, Name: word(first(v.ReassignOwnedStmt.Roles))})
		op.Roles, op.To = words(v.ReassignOwnedStmt.Roles), role(v.ReassignOwnedStmt.Newrole)
		return []phases.Operation{op}
	case *pg.Node_GrantStmt:
		return s.grant(v.GrantStmt)
	case *pg.Node_GrantRoleStmt:
		return s.grantRole(v.GrantRoleStmt)
	case *pg.Node_AlterDefaultPrivilegesStmt:
		kind := phases.Kind("grant_default_privileges")
		if !v.AlterDefaultPrivilegesStmt.Action.GetIsGrant() {
			kind = "revoke_default_privileges"
		}
		op := s.make(kind, phases.Object{Kind: objectKind(v.AlterDefaultPrivilegesStmt.Action.GetObjtype())})
		op.Roles = words(v.AlterDefaultPrivilegesStmt.Action.GetGrantees())
		op.Names = privileges(v.AlterDefaultPrivilegesStmt.Action.GetPrivileges())
		return []phases.Operation{op}
	default:
		return s.opaque()
	}
}

func (s *statement) alterRole(a *pg.AlterRoleStmt) []phases.Operation {
	op := s.make("alter_role", phases.Object{Kind: phases.Role, Name: role(a.Role)})
	var values map[string]string
	op.Names, values = options(a.Options)
	for _, name := range op.Names {
		switch name {
		case "canlogin", "superuser", "bypassrls", "inherit", "createrole", "createdb", "isreplication":
			// Turning such a right off takes it from whoever uses it; turning it on adds.
			if values[name] == "false" {
				op.Kind = "restrict_role"
			}
		case "password", "validUntil":
			op.Kind = "restrict_role"
		case "connectionlimit":
			if values[name] == "0" {
				op.Kind = "restrict_role"
			}
		case "rolemembers":
			if a.Action < 0 {
				op.Kind = "revoke_role"
			} else {
				op.Kind = "grant_role"
			}
		}
	}
	return []phases.Operation{op}
}

func privileges(list []*pg.Node) []string {
	if len(list) == 0 {
		return []string{"all"}
	}
	var out []string
	for _, n := range list {
		p := n.GetAccessPriv()
		name := p.GetPrivName()
		if name == "" {
			name = "all"
		}
		if cols := words(p.GetCols()); len(cols) > 0 {
			for _, c := range cols {
				out = append(out, name+"("+c+")")
			}
			continue
		}
		out = append(out, strings.ToLower(name))
	}
	return out
}

// grant gives one operation per object that privileges are granted on or revoked from.
func (s *statement) grant(g *pg.GrantStmt) []phases.Operation {
	kind := phases.Kind("grant")
	if !g.IsGrant {
		kind = "revoke"
	}
	base := s.make(kind, phases.Object{Kind: objectKind(g.Objtype)})
	base.Names, base.Roles = privileges(g.Privileges), words(g.Grantees)
	base.Flags = cascade(g.Behavior) | flag(phases.GrantOption, g.GrantOption)
	if g.Targtype == pg.GrantTargetType_ACL_TARGET_ALL_IN_SCHEMA {
		base.Flags |= phases.AllObjects
	}
	ops := make([]phases.Operation, 0, len(g.Objects))
	for _, n := range g.Objects {
		op := base
		switch v := n.GetNode().(type) {
		case *pg.Node_RangeVar:
			op.On = relation(base.On.Kind, v.RangeVar)
		case *pg.Node_ObjectWithArgs:
			op.On = withArgs(base.On.Kind, v.ObjectWithArgs)
		case *pg.Node_List:
			op.On = named(base.On.Kind, v.List.Items)
		default:
			op.On.Name = word(n)
		}
		if base.Flags.Has(phases.AllObjects) {
			op.On = phases.Object{Kind: phases.Schema, Name: word(n)}
			op.Text = string(base.On.Kind)
		}
		ops = append(ops, op)
	}
	if len(ops) == 0 {
		return []phases.Operation{base}
	}
	return ops
}

func (s *statement) grantRole(g *pg.GrantRoleStmt) []phases.Operation {
	kind := phases.Kind("grant_role")
	if !g.IsGrant {
		kind = "revoke_role"
	}
	var ops []phases.Operation
	for _, n := range g.GrantedRoles {
		op := s.make(kind, phases.Object{Kind: phases.Role, Name: n.GetAccessPriv().GetPrivName()})
		op.Roles = words(g.GranteeRoles)
		ops = append(ops, op)
	}
	return ops
}

// setting is SET or RESET kept for a role, a database or the whole server.
func (s *statement) setting(kind phases.Kind, on phases.Object, v *pg.VariableSetStmt) []phases.Operation {
	op := s.make(kind, on)
	op.Names, op.Text = []string{strings.ToLower(v.GetName())}, strings.Join(words(v.GetArgs()), ",")
	return []phases.Operation{op}
}

func (s *statement) set(v *pg.VariableSetStmt) []phases.Operation {
	op := s.make("set", phases.Object{})
	name := strings.ToLower(v.Name)
	op.Names, op.Roles, op.Text = []string{name}, words(v.Args), strings.Join(words(v.Args), ",")
	if v.Kind == pg.VariableSetKind_VAR_RESET || v.Kind == pg.VariableSetKind_VAR_RESET_ALL || v.Kind == pg.VariableSetKind_VAR_SET_DEFAULT {
		op.Kind, op.Roles = "reset", nil
	}
	op.Flags = flag(phases.Local, v.IsLocal)
	return []phases.Operation{op}
}
