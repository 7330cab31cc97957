CREATE MACRO lerp(a, b, t) AS CAST(a AS DOUBLE) + (CAST(b AS DOUBLE) - a) * t;

CREATE MACRO unlerp(a, b, x) AS (CAST(x AS DOUBLE) - a) / (CAST(b AS DOUBLE) - a);

CREATE MACRO bin_center(x, size) AS
  floor((CAST(x AS DOUBLE) + CAST(size AS DOUBLE) / 2) / size) * size;

-- 0xRRGGBBAA from channels of 0 to 1.
CREATE MACRO rgba(r, g, b, a) AS CAST(
  round(greatest(0.0, least(1.0, r)) * 255) * 16777216
  + round(greatest(0.0, least(1.0, g)) * 255) * 65536
  + round(greatest(0.0, least(1.0, b)) * 255) * 256
  + round(greatest(0.0, least(1.0, a)) * 255) AS UINTEGER);

CREATE MACRO lerp_color(c1, c2, t) AS CAST(list_sum(list_transform(
  [16777216, 65536, 256, 1],
  lambda unit: CAST(round(lerp(c1 // unit % 256, c2 // unit % 256, greatest(0.0, least(1.0, t)))) AS BIGINT)
    * unit
)) AS UINTEGER);
