SELECT letters.*
FROM `pipas_ops.dead_letters` AS letters
LEFT JOIN (
  SELECT DISTINCT dead_letter_id AS redriven_id FROM `pipas_ops.redrives`
) AS redriven
  ON redriven.redriven_id = letters.dead_letter_id
WHERE redriven.redriven_id IS NULL
