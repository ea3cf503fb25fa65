-- What happens after night-source.sql was caught up with: a request of a prescriber whom
-- nobody knew. Doctors are looked up by the mapping (hold:), and numbered in the order of
-- their names: this one would be the first, and is numbered behind those that were read.
INSERT INTO specimen (specimen_id, patient_id, specimen_type_id, user_id, ts, status_code_id, aux_id, date_collected, date_recvd, time_collected, doctor, daily_num) VALUES
	(10022, 3035, 11, 53, '2022-01-12 07:30:00', 0, '', '2022-01-12', '2022-01-12', '07:20', 'Abena', '20220112-1');
INSERT INTO test (test_id, test_type_id, result, user_id, verified_by, ts, specimen_id, date_verified) VALUES
	(11315, 9, '', 53, 0, '2022-01-12 07:31:00', 10022, NULL);

-- A name is corrected that somebody edits in the new software, too.
UPDATE patient SET name = 'Awa Ngo Bella' WHERE patient_id = 3034;
