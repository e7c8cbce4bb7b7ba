import { describeTargets } from './describe-targets.ts'
import { headerTargets } from './targets/index.ts'

describeTargets(headerTargets)
