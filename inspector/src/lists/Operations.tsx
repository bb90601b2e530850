/** Workers, the queue, what waits and why, and runs that failed: for callers with the right `admin`. */
export function Operations() {
  return <h2>Operations</h2>;
}
