import { describeNestjs } from '../contracts/nestjs.ts'

describeNestjs('12')
