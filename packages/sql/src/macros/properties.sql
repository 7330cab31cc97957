-- Properties are JSON text: an object whose values are, from today's clients, strings.

CREATE MACRO property_get(properties, key) AS
  list_filter(
    map_entries(CAST(CAST(properties AS JSON) AS MAP(VARCHAR, VARCHAR))),
    lambda entry: lower(entry.key) = lower(key)
  )[1].value;

CREATE MACRO properties_length(properties) AS len(json_keys(properties));

CREATE MACRO properties_to_array(properties) AS
  map_entries(CAST(CAST(properties AS JSON) AS MAP(VARCHAR, VARCHAR)));

CREATE MACRO properties_to_dict(properties) AS properties;

CREATE MACRO properties_to_jsonb(properties) AS CAST(properties AS JSON);
