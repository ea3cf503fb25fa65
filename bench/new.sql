-- The new laboratory of the benchmark: the same columns, no index.
CREATE TABLE patient (
  id bigint NOT NULL, nir text NOT NULL, last_name text NOT NULL, first_name text NOT NULL, birth_date date NOT NULL, sex char(1) NOT NULL, insurer text);
CREATE TABLE result (
  id bigint NOT NULL, request_id bigint NOT NULL, test_code text NOT NULL, value_num numeric(12,3), value_text text, unit text,
  ref_low numeric(10,3), ref_high numeric(10,3), flag char(1), validated_at timestamptz, validated_by text);
