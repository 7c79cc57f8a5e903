package phases

import (
	"strings"
	"sync"
)

// The types, operator classes and functions of the extensions that come with PostgreSQL (contrib of PostgreSQL 18,
// read from pg_depend), so that what an extension brings and takes can be told.

type extensionNames struct{ types, classes, functions, volatile map[string]string }

var extensionIndex = sync.OnceValue(func() extensionNames {
	n := extensionNames{map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}}
	fill := func(m map[string]string, extension, words string) {
		for _, w := range strings.Fields(words) {
			m[w] = extension
		}
	}
	for _, e := range contrib {
		fill(n.types, e.name, e.types)
		fill(n.classes, e.name, e.classes)
		fill(n.functions, e.name, e.functions)
		fill(n.volatile, e.name, e.volatile)
	}
	return n
})

func extensionOfType(name string) string  { return extensionIndex().types[name] }
func extensionOfClass(name string) string { return extensionIndex().classes[name] }

func extensionOfFunction(name string) string {
	n := extensionIndex()
	if e := n.functions[name]; e != "" {
		return e
	}
	return n.volatile[name]
}

// stableExtension reports whether a function of an extension gives the same value within a statement.
func stableExtension(name string) bool {
	n := extensionIndex()
	return n.functions[name] != "" && n.volatile[name] == ""
}

var contrib = []struct{ name, types, classes, functions, volatile string }{
	{
		"bloom",
		"",
		"int4_ops text_ops ",
		"",
		"",
	},
	{
		"btree_gin",
		"",
		"bit_ops bool_ops bpchar_ops bytea_ops char_ops cidr_ops date_ops enum_ops float4_ops float8_ops " +
			"inet_ops int2_ops int4_ops int8_ops interval_ops macaddr8_ops macaddr_ops money_ops name_ops " +
			"numeric_ops oid_ops text_ops time_ops timestamp_ops timestamptz_ops timetz_ops uuid_ops varbit_ops " +
			"varchar_ops ",
		"gin_enum_cmp gin_numeric_cmp ",
		"",
	},
	{
		"btree_gist",
		"gbtreekey16 gbtreekey2 gbtreekey32 gbtreekey4 gbtreekey8 gbtreekey_var ",
		"gist_bit_ops gist_bool_ops gist_bpchar_ops gist_bytea_ops gist_cash_ops gist_cidr_ops gist_date_ops " +
			"gist_enum_ops gist_float4_ops gist_float8_ops gist_inet_ops gist_int2_ops gist_int4_ops " +
			"gist_int8_ops gist_interval_ops gist_macaddr8_ops gist_macaddr_ops gist_numeric_ops gist_oid_ops " +
			"gist_text_ops gist_time_ops gist_timestamp_ops gist_timestamptz_ops gist_timetz_ops gist_uuid_ops " +
			"gist_vbit_ops ",
		"cash_dist date_dist float4_dist float8_dist gbtreekey16_out gbtreekey2_out gbtreekey32_out " +
			"gbtreekey4_out gbtreekey8_out gbtreekey_var_out gist_translate_cmptype_btree int2_dist int4_dist " +
			"int8_dist interval_dist oid_dist time_dist ts_dist tstz_dist ",
		"",
	},
	{
		"citext",
		"citext ",
		"citext_ops citext_pattern_ops ",
		"citext citext_cmp citext_eq citext_ge citext_gt citext_hash citext_hash_extended citext_larger " +
			"citext_le citext_lt citext_ne citext_pattern_cmp citext_pattern_ge citext_pattern_gt " +
			"citext_pattern_le citext_pattern_lt citext_smaller citextout citextsend max min regexp_match " +
			"regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table replace split_part strpos " +
			"texticlike texticnlike texticregexeq texticregexne translate ",
		"",
	},
	{
		"cube",
		"cube ",
		"cube_ops gist_cube_ops ",
		"cube cube_cmp cube_contained cube_contains cube_coord cube_coord_llur cube_dim cube_distance " +
			"cube_enlarge cube_eq cube_ge cube_gt cube_inter cube_is_point cube_le cube_ll_coord cube_lt cube_ne " +
			"cube_out cube_overlap cube_send cube_size cube_subset cube_union cube_ur_coord distance_chebyshev " +
			"distance_taxicab ",
		"",
	},
	{
		"dblink",
		"dblink_pkey_results ",
		"",
		"",
		"",
	},
	{
		"earthdistance",
		"earth ",
		"",
		"earth earth_box earth_distance gc_to_sec geo_distance latitude ll_to_earth longitude sec_to_gc ",
		"",
	},
	{
		"fuzzystrmatch",
		"",
		"",
		"daitch_mokotoff difference dmetaphone dmetaphone_alt levenshtein levenshtein_less_equal metaphone " +
			"soundex text_soundex ",
		"",
	},
	{
		"hstore",
		"ghstore hstore ",
		"btree_hstore_ops gin_hstore_ops gist_hstore_ops hash_hstore_ops ",
		"akeys avals defined delete each exist exists_all exists_any fetchval ghstore_out hs_concat " +
			"hs_contained hs_contains hstore hstore_cmp hstore_eq hstore_ge hstore_gt hstore_hash " +
			"hstore_hash_extended hstore_le hstore_lt hstore_ne hstore_out hstore_send hstore_to_array " +
			"hstore_to_json hstore_to_json_loose hstore_to_jsonb hstore_to_jsonb_loose hstore_to_matrix " +
			"hstore_version_diag isdefined isexists populate_record skeys slice slice_array svals tconvert ",
		"",
	},
	{
		"intarray",
		"intbig_gkey query_int ",
		"gin__int_ops gist__int_ops gist__intbig_ops ",
		"_int_contained _int_contains _int_different _int_inter _int_overlap _int_same _int_union _intbig_out " +
			"boolop bqarr_out icount idx intarray_del_elem intarray_push_array intarray_push_elem intset " +
			"intset_subtract intset_union_elem querytree rboolop sort sort_asc sort_desc subarray uniq ",
		"",
	},
	{
		"isn",
		"ean13 isbn isbn13 ismn ismn13 issn issn13 upc ",
		"ean13_ops isbn13_ops isbn_ops ismn13_ops ismn_ops issn13_ops issn_ops upc_ops ",
		"btean13cmp btisbn13cmp btisbncmp btismn13cmp btismncmp btissn13cmp btissncmp btupccmp ean13_out " +
			"hashean13 hashisbn hashisbn13 hashismn hashismn13 hashissn hashissn13 hashupc is_valid isbn isbn13 " +
			"ismn ismn13 isn_out isneq isnge isngt isnle isnlt isnne issn issn13 make_valid upc ",
		"isn_weak ",
	},
	{
		"lo",
		"lo ",
		"",
		"lo_oid ",
		"lo_manage ",
	},
	{
		"ltree",
		"lquery ltree ltree_gist ltxtquery ",
		"gist__ltree_ops gist_ltree_ops hash_ltree_ops ltree_ops ",
		"_lt_q_regex _lt_q_rregex _ltq_extract_regex _ltq_regex _ltq_rregex _ltree_extract_isparent " +
			"_ltree_extract_risparent _ltree_isparent _ltree_r_isparent _ltree_r_risparent _ltree_risparent " +
			"_ltxtq_exec _ltxtq_extract_exec _ltxtq_rexec hash_ltree hash_ltree_extended index lca lquery_out " +
			"lquery_send lt_q_regex lt_q_rregex ltq_regex ltq_rregex ltree2text ltree_addltree ltree_addtext " +
			"ltree_cmp ltree_eq ltree_ge ltree_gist_out ltree_gt ltree_isparent ltree_le ltree_lt ltree_ne " +
			"ltree_out ltree_risparent ltree_send ltree_textadd ltxtq_exec ltxtq_out ltxtq_rexec ltxtq_send " +
			"nlevel subltree subpath text2ltree ",
		"",
	},
	{
		"pg_stat_statements",
		"pg_stat_statements pg_stat_statements_info ",
		"",
		"",
		"pg_stat_statements pg_stat_statements_info pg_stat_statements_reset ",
	},
	{
		"pg_trgm",
		"gtrgm ",
		"gin_trgm_ops gist_trgm_ops ",
		"gtrgm_out show_limit show_trgm similarity similarity_dist similarity_op strict_word_similarity " +
			"strict_word_similarity_commutator_op strict_word_similarity_dist_commutator_op " +
			"strict_word_similarity_dist_op strict_word_similarity_op word_similarity " +
			"word_similarity_commutator_op word_similarity_dist_commutator_op word_similarity_dist_op " +
			"word_similarity_op ",
		"set_limit ",
	},
	{
		"pgcrypto",
		"",
		"",
		"armor crypt dearmor decrypt decrypt_iv digest encrypt encrypt_iv hmac pgp_armor_headers pgp_key_id " +
			"pgp_pub_decrypt pgp_pub_decrypt_bytea pgp_sym_decrypt pgp_sym_decrypt_bytea ",
		"fips_mode gen_random_bytes gen_random_uuid gen_salt pgp_pub_encrypt pgp_pub_encrypt_bytea " +
			"pgp_sym_encrypt pgp_sym_encrypt_bytea ",
	},
	{
		"postgres_fdw",
		"",
		"",
		"",
		"postgres_fdw_disconnect postgres_fdw_disconnect_all postgres_fdw_get_connections " +
			"postgres_fdw_handler postgres_fdw_validator ",
	},
	{
		"seg",
		"seg ",
		"gist_seg_ops seg_ops ",
		"seg_center seg_cmp seg_contained seg_contains seg_different seg_ge seg_gt seg_inter seg_le seg_left " +
			"seg_lower seg_lt seg_out seg_over_left seg_over_right seg_overlap seg_right seg_same seg_size " +
			"seg_union seg_upper ",
		"",
	},
	{
		"tablefunc",
		"tablefunc_crosstab_2 tablefunc_crosstab_3 tablefunc_crosstab_4 ",
		"",
		"connectby crosstab crosstab2 crosstab3 crosstab4 ",
		"normal_rand ",
	},
	{
		"unaccent",
		"",
		"",
		"unaccent ",
		"",
	},
	{
		"uuid-ossp",
		"",
		"",
		"uuid_generate_v3 uuid_generate_v5 uuid_nil uuid_ns_dns uuid_ns_oid uuid_ns_url uuid_ns_x500 ",
		"uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 ",
	},
}
