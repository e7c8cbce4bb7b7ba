import { describeTargets } from './describe-targets.ts'
import { otherTargets } from './targets/index.ts'

describeTargets(otherTargets)
