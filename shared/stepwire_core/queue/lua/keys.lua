-- Names of the keys of a job, without its id: the job, which worker has it, how often it was taken.
--
-- They are arq's own only for the queue of the default name: a run of the same id may be in several queues.
local function job_keys(queue)
  if queue == ARQ_QUEUE then return ARQ_JOB, ARQ_HAS, ARQ_TRIED end
  return queue .. ':job:', queue .. ':in-progress:', queue .. ':retry:'
end
