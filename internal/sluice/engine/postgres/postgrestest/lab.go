package postgrestest

import (
	"fmt"
	"testing"

	"ecluse/internal/sluice/engine/postgres"
)

// Lab makes a table "result" of the benchmark's shape, with as many rows.
func Lab(t testing.TB, c postgres.Config, rows int) {
	t.Helper()
	Run(t, c, fmt.Sprintf(`CREATE TABLE result (
	id bigint NOT NULL, request_id bigint NOT NULL, analysis_code text NOT NULL, value_num numeric(12,3), value_text text,
	unit text, ref_low numeric(10,3), ref_high numeric(10,3), flag char(1), validated_at timestamptz, validated_by text, comment text);
INSERT INTO result SELECT i, 1 + (i - 1) / 5, (ARRAY['GLU','CREA','NA','K','HB','BHCG'])[1 + i %% 6],
	CASE WHEN i %% 6 < 5 THEN round(i * 2654435761 %% 100003 / 1000.0, 3) END, CASE WHEN i %% 6 = 5 THEN 'Négatif' END,
	(ARRAY['mmol/L','umol/L','g/dL'])[1 + i %% 3], 3.9, 5.5, (ARRAY[NULL,NULL,NULL,'H','L','N'])[1 + i * 31 %% 6],
	timestamptz '2014-01-01 10:00+01' + i * interval '1 minute', 'bio' || i %% 37, CASE WHEN i %% 12 = 0 THEN 'Contrôlé sur automate' END
FROM generate_series(1::bigint, %d) AS i`, rows))
	Run(t, c, "ALTER TABLE result ADD PRIMARY KEY (id)")
	Run(t, c, "VACUUM ANALYZE result")
}

// LabColumns are the columns of Lab's table that the benchmark moves: all but the
// comment, in an instruction's words.
const LabColumns = `{id: technical, request_id: technical, analysis_code: result, value_num: result, value_text: result, unit: result,
      ref_low: result, ref_high: result, flag: result, validated_at: result, validated_by: sampler}`
