export { type Doctor, doctor, type DoctorOptions } from './doctor.ts'
export type { Finding, FindingKind } from './finding.ts'
export type { Remedy } from './remedies.ts'
