-- The reference's JSONB is the engine's JSON. Keys are looked up as they are, never as paths.

CREATE MACRO jsonb_parse(text) AS CAST(text AS JSON);

CREATE MACRO jsonb_format_json(j) AS CAST(CAST(j AS JSON) AS VARCHAR);

CREATE MACRO jsonb_get(j, key) AS
  CASE WHEN json_type(j) = 'OBJECT'
    THEN json_extract(CAST(j AS JSON), '/' || replace(replace(key, '~', '~0'), '/', '~1')) END;

CREATE MACRO jsonb_as_string(j) AS
  CASE WHEN json_type(j) = 'VARCHAR' THEN json_extract_string(j, '$') END;

CREATE MACRO jsonb_as_f64(j) AS
  CASE WHEN json_type(j) IN ('BIGINT', 'UBIGINT', 'DOUBLE', 'HUGEINT')
    THEN TRY_CAST(json_extract_string(j, '$') AS DOUBLE) END;

CREATE MACRO jsonb_as_i64(j) AS
  CASE WHEN json_type(j) IN ('BIGINT', 'UBIGINT', 'HUGEINT')
    THEN TRY_CAST(json_extract_string(j, '$') AS BIGINT) END;

CREATE MACRO jsonb_object_keys(j) AS
  CASE WHEN json_type(j) = 'OBJECT' THEN json_keys(j) END;

CREATE MACRO jsonb_array_length(j) AS
  CASE WHEN json_type(j) = 'ARRAY' THEN json_array_length(j) END;

CREATE MACRO jsonb_each(j) AS TABLE SELECT key, value FROM json_each(j);

CREATE MACRO jsonb_array_elements(j) AS TABLE SELECT value FROM json_each(j);
