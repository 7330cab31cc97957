-- A histogram is {start, end, min, max, sum, sum_sq, count, bins}. What stands in a lambda is bound once
-- before it, so that a histogram may be an aggregate made on the spot.

CREATE MACRO make_histogram(first_edge, last_edge, bin_count, measured) AS {
  'start': CAST(first_edge AS DOUBLE),
  'end': CAST(last_edge AS DOUBLE),
  'min': CAST(min(measured) AS DOUBLE),
  'max': CAST(max(measured) AS DOUBLE),
  'sum': coalesce(CAST(sum(measured) AS DOUBLE), 0),
  'sum_sq': coalesce(sum(CAST(measured AS DOUBLE) * CAST(measured AS DOUBLE)), 0),
  'count': CAST(count(measured) AS UBIGINT),
  'bins': list_resize(
    coalesce(
      map_values(
        histogram_exact(
          CASE WHEN isnan(CAST(measured AS DOUBLE)) THEN 0
            ELSE CAST(
              greatest(0, least(
                CAST(bin_count AS DOUBLE) - 1,
                floor((CAST(measured AS DOUBLE) - first_edge) * bin_count
                  / (CAST(last_edge AS DOUBLE) - first_edge))
              )) AS BIGINT)
          END,
          range(CAST(bin_count AS BIGINT))
        )
      ),
      CAST([] AS UBIGINT[])
    ),
    CAST(bin_count AS BIGINT),
    CAST(0 AS UBIGINT)
  )
};

CREATE MACRO sum_histograms(h) AS
  CASE WHEN min(h.start) IS DISTINCT FROM max(h.start)
      OR min(h."end") IS DISTINCT FROM max(h."end")
      OR min(len(h.bins)) IS DISTINCT FROM max(len(h.bins))
    THEN error('sum_histograms takes histograms of the same bounds and number of bins')
    ELSE {
      'start': min(h.start),
      'end': min(h."end"),
      'min': min(h.min),
      'max': max(h.max),
      'sum': sum(h.sum),
      'sum_sq': sum(h.sum_sq),
      'count': CAST(sum(h.count) AS UBIGINT),
      'bins': list_reduce(
        list(h.bins),
        lambda so_far, bins: list_transform(
          list_zip(so_far, bins), lambda pair: pair[1] + pair[2]
        )
      )
    }
  END;

CREATE MACRO count_from_histogram(h) AS h.count;

CREATE MACRO sum_from_histogram(h) AS h.sum;

CREATE MACRO variance_from_histogram(h) AS
  list_transform(
    [h],
    lambda x: CASE WHEN x.count > 1
      THEN (x.sum_sq - x.sum * x.sum / x.count) / (CAST(x.count AS DOUBLE) - 1) END
  )[1];

-- The bin where the share of smaller values first reaches the quantile, linear inside it.
CREATE MACRO quantile_from_histogram(h, q) AS
  list_transform(
    [{'x': h, 'wanted': CAST(q AS DOUBLE) * h.count}],
    lambda asked: list_transform(
      list_filter(
        list_transform(
          range(len(asked.x.bins)),
          lambda bin: {
            'bin': bin,
            'before': coalesce(CAST(list_sum(asked.x.bins[1:bin]) AS DOUBLE), 0),
            'inside': CAST(asked.x.bins[bin + 1] AS DOUBLE)
          }
        ),
        lambda part: part.inside > 0 AND part.before + part.inside >= asked.wanted
      ),
      lambda part: asked.x.start + (asked.x."end" - asked.x.start) / len(asked.x.bins)
        * (part.bin + (asked.wanted - part.before) / part.inside)
    )[1]
  )[1];

CREATE MACRO expand_histogram(h) AS TABLE
  SELECT
    x.start + (x."end" - x.start) / len(x.bins) * (bin + 0.5) AS bin_center,
    x.bins[bin + 1] AS count
  FROM (SELECT h AS x) AS given, range(len(x.bins)) AS bins (bin);
